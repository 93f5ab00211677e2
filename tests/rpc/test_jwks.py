"""The keys of an issuer: fetched when one is wanted, seldom enough for the issuer, kept while it is away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import pytest_asyncio
from aiohttp import web

from service.ops import reloads
from service.rpc import jwks
from service.rpc.jwks import Jwks
from service.rpc.server import Server
from tests.client import Client
from tests.rpc.calls import bearer, outcome
from tests.rpc.issuer import Issuer, issuing, served_by
from tests.rpc.serving import serving

STORM = 1000


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as issuer:
        yield issuer


@pytest_asyncio.fixture
async def server(mongodb_uri: str, issuer: Issuer) -> AsyncIterator[tuple[Server, grpc.aio.Channel]]:
    async with serving(mongodb_uri, **issuer.flags) as both:
        yield both


@pytest.fixture
def channel(server: tuple[Server, grpc.aio.Channel]) -> grpc.aio.Channel:
    return server[1]


@pytest.fixture
def pause_over(server: tuple[Server, grpc.aio.Channel]) -> Callable[[], None]:
    """Called, it is as if the pause after the last fetch were over."""
    return partial(let_the_pause_pass, server[0])


def let_the_pause_pass(server: Server) -> None:
    credentials: Any = server._credentials
    credentials._keys._ended -= jwks.FETCH_PAUSE_SECONDS


async def test_unknown_keys_do_not_storm_the_issuer(
    channel: grpc.aio.Channel, issuer: Issuer, pause_over: Callable[[], None]
) -> None:
    """A thousand tokens with a thousand unknown keys are refused and cost the issuer a handful of fetches."""
    good = issuer.token()
    started = time.monotonic()
    pause_over()
    strangers = [bearer(issuer.token(headers={"kid": f"unknown-{n}"})) for n in range(STORM)]
    answers = await asyncio.gather(*(outcome(channel, stranger) for stranger in strangers))
    assert set(answers) == {"CREDENTIALS_INVALID"}
    assert await outcome(channel, bearer(good)) == "OK"
    assert 1 < issuer.fetches <= 2 + (time.monotonic() - started) / jwks.FETCH_PAUSE_SECONDS


async def test_callers_that_come_together_share_a_fetch(
    channel: grpc.aio.Channel, issuer: Issuer, pause_over: Callable[[], None]
) -> None:
    """The first tokens with a new key wait for one fetch, and all are answered by it."""
    issuer.add_key("new")
    pause_over()
    tokens = [bearer(issuer.token("new", sub=f"service {n}")) for n in range(50)]
    assert set(await asyncio.gather(*(outcome(channel, token) for token in tokens))) == {"OK"}
    assert issuer.fetches == 2


async def test_a_caller_that_leaves_does_not_end_the_fetch_of_others(
    mongodb_uri: str, issuer: Issuer
) -> None:
    """The one who asked first is cancelled while the issuer thinks; the next one is answered."""
    asked, may_answer = asyncio.Event(), asyncio.Event()
    may_answer.set()

    async def slow(request: web.Request) -> web.Response:
        asked.set()
        await may_answer.wait()
        return await issuer.serve(request)

    async with (
        served_by(slow) as url,
        serving(mongodb_uri, **issuer.flags | {"jwt_jwks_url": url}) as (server, channel),
    ):
        issuer.add_key("new")
        for event in (asked, may_answer):
            event.clear()
        let_the_pause_pass(server)
        leaving = Client(channel, issuer.token("new"), None)
        first = asyncio.create_task(leaving.list())
        await asked.wait()
        second = asyncio.create_task(outcome(channel, bearer(issuer.token("new", sub="another"))))
        first.cancel()
        await asyncio.wait({first})
        may_answer.set()
        assert await second == "OK"
        assert issuer.fetches == 2


async def test_known_keys_outlive_an_outage(
    channel: grpc.aio.Channel, issuer: Issuer, pause_over: Callable[[], None]
) -> None:
    """While the issuer fails, its known keys verify old and new tokens, and the failures are counted."""
    before = issuer.token()
    assert await outcome(channel, bearer(before)) == "OK"
    issuer.answer = {"status": 503}
    issuer.add_key("new")
    failures = reloads.failures["jwks"]
    pause_over()
    assert await outcome(channel, bearer(issuer.token("new"))) == "CREDENTIALS_INVALID"
    assert reloads.failures["jwks"] == failures + 1
    assert reloads.failing["jwks"]
    for token in (before, issuer.token(sub="another")):
        assert await outcome(channel, bearer(token)) == "OK"
    issuer.answer = None
    pause_over()
    assert await outcome(channel, bearer(issuer.token("new"))) == "OK"
    assert not reloads.failing["jwks"]


async def test_an_outage_is_logged_once(
    channel: grpc.aio.Channel,
    issuer: Issuer,
    pause_over: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However often keys are asked for meanwhile; each failure is counted, and the end is told, too."""
    caplog.set_level("INFO", logger="service")
    issuer.answer = {"status": 500}
    issuer.add_key("new")
    failures = reloads.failures["jwks"]
    for number in range(3):
        pause_over()
        assert await outcome(channel, bearer(issuer.token("new", sub=str(number)))) == "CREDENTIALS_INVALID"
    issuer.answer = None
    pause_over()
    assert await outcome(channel, bearer(issuer.token("new"))) == "OK"
    assert reloads.failures["jwks"] == failures + 3
    told = [record.getMessage() for record in caplog.records if record.name != "service.rpc.call"]
    assert [line for line in told if "read again" in line] == [
        "could not be read again, kept as it was",
        "the keys of the issuer of JWTs are read again",
    ]


async def test_a_new_key_is_found_and_a_withdrawn_one_forgotten(
    channel: grpc.aio.Channel, issuer: Issuer, pause_over: Callable[[], None]
) -> None:
    """Rotation without a restart; a token that was known by its hash goes with its key."""
    old = issuer.token()
    assert await outcome(channel, bearer(old)) == "OK"
    issuer.add_key("next")
    pause_over()
    assert await outcome(channel, bearer(issuer.token("next"))) == "OK"
    assert await outcome(channel, bearer(old)) == "OK"
    withdrawn = issuer.keys.pop("rsa")
    pause_over()
    assert await outcome(channel, bearer(issuer.token("next", headers={"kid": "?"}))) == "CREDENTIALS_INVALID"
    assert await outcome(channel, bearer(old)) == "CREDENTIALS_INVALID"
    issuer.keys["rsa"] = withdrawn
    pause_over()
    assert await outcome(channel, bearer(old)) == "OK"


async def test_another_key_under_a_known_name_replaces_it(
    channel: grpc.aio.Channel, issuer: Issuer, pause_over: Callable[[], None]
) -> None:
    """A token of the former key is not taken any more, though its hash was known."""
    old = issuer.token()
    assert await outcome(channel, bearer(old)) == "OK"
    issuer.add_key("rsa")
    pause_over()
    assert await outcome(channel, bearer(issuer.token(headers={"kid": "?"}))) == "CREDENTIALS_INVALID"
    assert await outcome(channel, bearer(old)) == "CREDENTIALS_INVALID"
    assert await outcome(channel, bearer(issuer.token())) == "OK"


async def test_keys_are_looked_at_again_without_being_asked_for(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every few minutes, so that a withdrawn key goes; nobody waits for it."""
    keys = Jwks(issuer.url)
    fetched = keys.fetched()
    assert fetched
    await fetched()
    assert keys.key("rsa")
    assert issuer.fetches == 1
    issuer.keys = {}
    issuer.add_key("next")
    monkeypatch.setattr(jwks, "_REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(jwks, "FETCH_PAUSE_SECONDS", 0.0)
    assert keys.key("rsa")
    async with asyncio.timeout(10):
        while keys.key("rsa"):
            await asyncio.sleep(0.01)
    assert keys.key("next")


async def test_who_has_waited_once_does_not_wait_again(
    channel: grpc.aio.Channel, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the pause is over when it asks again: the issuer has just said that there is no such key."""
    monkeypatch.setattr(jwks, "FETCH_PAUSE_SECONDS", 0.0)
    stranger = issuer.token(headers={"kid": "unknown"})
    assert await outcome(channel, bearer(stranger)) == "CREDENTIALS_INVALID"


async def test_an_issuer_that_does_not_answer_is_left_after_a_moment(
    mongodb_uri: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, and later the caller of the unknown key; others are answered all the time."""
    silent = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await silent.wait()
        return web.Response()

    monkeypatch.setattr(jwks, "_TIMEOUT", aiohttp.ClientTimeout(total=0.5))
    async with (
        served_by(never) as url,
        serving(mongodb_uri, **issuer.flags | {"jwt_jwks_url": url}) as (server, channel),
    ):
        let_the_pause_pass(server)
        waiting = asyncio.create_task(outcome(channel, bearer(issuer.token())))
        assert await outcome(channel, bearer("unknown")) == "CREDENTIALS_INVALID"
        assert not waiting.done()
        assert await waiting == "CREDENTIALS_INVALID"
        silent.set()


async def test_keys_may_stand_in_a_file(mongodb_uri: str, issuer: Issuer, tmp_path: Path) -> None:
    """For a service that cannot reach the issuer; one that is broken keeps the last good one."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(issuer.jwks()))
    async with serving(mongodb_uri, **issuer.flags | {"jwt_jwks_url": file.as_uri()}) as (server, channel):
        assert await outcome(channel, bearer(issuer.token())) == "OK"
        for content, expected in (("{", "CREDENTIALS_INVALID"), (None, "OK")):
            issuer.add_key("next")
            file.write_text(json.dumps(issuer.jwks()) if content is None else content)
            let_the_pause_pass(server)
            assert await outcome(channel, bearer(issuer.token("next"))) == expected
            assert await outcome(channel, bearer(issuer.token())) == "OK"
    assert issuer.fetches == 0


async def test_only_so_many_callers_wait(issuer: Issuer) -> None:
    """Beyond a hundred, those with an unknown key are refused at once: waiting is not free either."""
    keys = Jwks(issuer.url)
    waits = [keys.fetched() for _ in range(100)]
    waiting = [asyncio.create_task(wait()) for wait in waits if wait]
    assert len(waiting) == 100
    await asyncio.sleep(0)
    assert keys.fetched() is None
    await asyncio.gather(*waiting)
    assert keys._waiting == 0
