"""The keys of an issuer at the start of a server: had before it listens, if the issuer is there."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from service import config as configuration
from service.ops import reloads
from service.ops.port import claimed
from service.rpc import jwks, token_file
from service.rpc.auth import SCOPES
from service.rpc.server import Server
from tests.rpc.calls import bearer, outcome
from tests.rpc.issuer import Issuer, issuing, served_by
from tests.rpc.serving import serving

# More than may wait for a fetch.
CROWD = 300


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as issuer:
        yield issuer


async def test_after_a_start_everybody_is_known(mongodb_uri: str, issuer: Issuer) -> None:
    """However many come at once with the first call, and though the issuer is gone by then."""
    tokens = [bearer(issuer.token(sub=f"service {n}")) for n in range(CROWD)]
    async with serving(mongodb_uri, **issuer.flags) as (_, channel):
        issuer.answer = {"status": 503}
        assert set(await asyncio.gather(*(outcome(channel, token) for token in tokens))) == {"OK"}
    assert issuer.fetches == 1


@pytest.mark.parametrize("with_file", [False, True])
async def test_a_server_listens_when_it_has_the_keys(
    mongodb_uri: str, issuer: Issuer, tmp_path: Path, with_file: bool
) -> None:
    """Until then no connection is made, with a token file beside the issuer as without."""
    token_file.add(tmp_path / "tokens.jsonl", "a", SCOPES)
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        asked.set()
        await may_answer.wait()
        return await issuer.serve(request)

    with claimed("127.0.0.1", 0) as holder:
        address = holder.getsockname()
        async with served_by(slow) as url:
            flags = issuer.flags | {"address": f"127.0.0.1:{address[1]}", "jwt_jwks_url": url}
            config = configuration.load(
                flags | ({"tokens": str(tmp_path / "tokens.jsonl")} if with_file else {})
            )
            server = Server(config, mongodb_uri, lambda: None, shares_port=True)
            starting = asyncio.create_task(server.start())
            await asked.wait()
            while server.readiness.why_not:
                await asyncio.sleep(0.01)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            may_answer.set()
            await starting
            socket.create_connection(address).close()
            await server.stop()


async def test_an_issuer_that_is_away_stops_no_start(
    mongodb_uri: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told and counted, its tokens are refused, and good when it is back."""
    monkeypatch.setattr(jwks, "FETCH_PAUSE_SECONDS", 0.0)
    issuer.answer = {"status": 503}
    failures = reloads.failures["jwks"]
    async with serving(mongodb_uri, **issuer.flags) as (_, channel):
        assert reloads.failures["jwks"] == failures + 1
        assert await outcome(channel, bearer(issuer.token())) == "CREDENTIALS_INVALID"
        issuer.answer = None
        assert await outcome(channel, bearer(issuer.token())) == "OK"
    assert not reloads.failing["jwks"]
