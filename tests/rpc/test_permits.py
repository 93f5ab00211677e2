"""Streams that outlive what opened them: a running export ends when its credentials do."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from service.domain.errors import CredentialsInvalid
from service.rpc import token_file
from service.rpc.auth import SCOPES, KeysWanted
from service.rpc.jwts import LEEWAY_SECONDS
from service.rpc.permits import Permits
from service.rpc.server import Server
from tests.client import Client, Failure, failure
from tests.people import fill
from tests.rpc.issuer import Issuer, issuing
from tests.rpc.serving import serving

SOON = timedelta(seconds=5)


@pytest_asyncio.fixture(scope="module")
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as issuer:
        yield issuer


@pytest_asyncio.fixture
async def own(
    mongodb_uri: str, issuer: Issuer, tmp_path: Path
) -> AsyncIterator[tuple[Server, grpc.aio.Channel, Path]]:
    """A server with a token file of its own and an issuer; account `a` has more than any window takes."""
    file = tmp_path / "tokens.jsonl"
    token_file.add(file, "z", SCOPES)
    flags = {"tokens": file, "database": "permits", **issuer.flags}
    async with serving(mongodb_uri, **flags) as (server, channel):
        await server.store._contacts.delete_many({})
        await fill(server.store, "a", count=6000, size=2000)
        yield server, channel, file


@asynccontextmanager
async def exporting(channel: grpc.aio.Channel, token: str) -> AsyncIterator[grpc.aio.UnaryStreamCall]:
    """A running export of which two messages have been read."""
    call = Client(channel, token, "a").export(timeout=None)
    for _ in range(2):
        assert await call.read() is not grpc.aio.EOF
    try:
        yield call
    finally:
        call.cancel()


async def ending(server: Server, call: grpc.aio.UnaryStreamCall, since: float) -> Failure:
    """How the stream ends, of which nothing more is read until it has; it must within five seconds."""
    async with asyncio.timeout(max(0.0, since + SOON.total_seconds() - time.time())):
        while server.export_slots.taken:
            await asyncio.sleep(0.02)
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return failure(error)
    raise AssertionError(f"the stream ended with {await call.code()}")


Withdraw = Callable[[Path, str], object]


def revoke(file: Path, token: str) -> None:
    token_file.revoke(file, token_file.digest(token)[:12])


def replace(file: Path, token: str, **changed: Any) -> None:
    [entry] = [each for each in token_file.read(file) if each.sha256 == token_file.digest(token)]
    line = entry.line()
    for name, value in changed.items():
        line = line.replace(*value) if name == "text" else line
    others = [each.line() for each in token_file.read(file) if each != entry]
    token_file.write(file, b"".join([*others, line]))


@pytest.mark.parametrize(
    ("withdraw", "code", "reason"),
    [
        (revoke, "UNAUTHENTICATED", "CREDENTIALS_INVALID"),
        (
            lambda file, token: replace(file, token, text=(b'"account":"a"', b'"account":"b"')),
            "PERMISSION_DENIED",
            "ACCOUNT_NOT_ALLOWED",
        ),
        (
            lambda file, token: replace(file, token, text=(b'"export"', b'"read"')),
            "PERMISSION_DENIED",
            "SCOPE_MISSING",
        ),
    ],
    ids=["token", "account", "scope"],
)
async def test_a_withdrawn_token_ends_a_running_export(
    own: tuple[Server, grpc.aio.Channel, Path], withdraw: Withdraw, code: str, reason: str
) -> None:
    """Within five seconds, with what a new call is told, while the export of another token goes on."""
    server, channel, file = own
    token, other = (token_file.add(file, "a", ("export",)) for _ in range(2))
    async with exporting(channel, other) as unharmed:
        async with exporting(channel, token) as call:
            withdraw(file, token)
            withdrawn = time.time()
            async with asyncio.timeout(SOON.total_seconds()):
                while server.export_slots.taken == 2:
                    await asyncio.sleep(0.02)
            assert time.time() < withdrawn + SOON.total_seconds()
            found = await read_to_the_end(call)
        assert isinstance(found, Failure)
        assert (found.code, found.reason) == (code, reason)
        last = await read_to_the_end(unharmed)
        assert last.summary.records == 6000


async def read_to_the_end(call: grpc.aio.UnaryStreamCall) -> Any:
    """The last message, or how the stream fails."""
    last = None
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            last = message
    except grpc.aio.AioRpcError as error:
        return failure(error)
    return last


async def test_an_expired_token_ends_a_running_export(own: tuple[Server, grpc.aio.Channel, Path]) -> None:
    """A token of the file whose time is over: not before, and within five seconds."""
    server, channel, file = own
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    token = token_file.add(file, "a", ("export",), end)
    async with exporting(channel, token) as call:
        found = await ending(server, call, end.timestamp())
    assert time.time() >= end.timestamp()
    assert (found.code, found.reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


async def test_an_expired_jwt_ends_a_running_export(
    own: tuple[Server, grpc.aio.Channel, Path], issuer: Issuer
) -> None:
    """Likewise, its exp and the leeway for clocks included."""
    server, channel, _ = own
    end = int(time.time()) + 2
    async with exporting(channel, issuer.token(scope="export", exp=end)) as call:
        found = await ending(server, call, end)
    assert time.time() >= end + LEEWAY_SECONDS
    assert (found.code, found.reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


async def test_a_withdrawn_key_ends_a_running_export(
    own: tuple[Server, grpc.aio.Channel, Path], issuer: Issuer
) -> None:
    """When the issuer does not publish the key any more that signed its token."""
    server, channel, _ = own
    credentials: Any = server._credentials
    issuer.add_key("leaving")
    credentials._jwts._keys._ended = float("-inf")
    async with exporting(channel, issuer.token("leaving", scope="export")) as call:
        del issuer.keys["leaving"]
        credentials._jwts._keys._ended = float("-inf")
        found = await ending(server, call, time.time())
    assert (found.code, found.reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


@pytest.mark.parametrize("reading", [True, False], ids=["reading", "blocked"])
async def test_a_reader_is_told_in_whatever_it_does(
    own: tuple[Server, grpc.aio.Channel, Path], reading: bool
) -> None:
    """The status is UNAUTHENTICATED for one that reads slowly as for one that has stopped reading."""
    server, channel, file = own
    token = token_file.add(file, "a", ("export",))
    async with exporting(channel, token) as call:
        revoke(file, token)
        slowly = asyncio.create_task(read_slowly(call)) if reading else None
        async with asyncio.timeout(SOON.total_seconds()):
            while server.export_slots.taken:
                await asyncio.sleep(0.02)
        found = await slowly if slowly else await read_to_the_end(call)
    assert isinstance(found, Failure)
    assert found.reason == "CREDENTIALS_INVALID"


async def read_slowly(call: grpc.aio.UnaryStreamCall) -> Failure:
    try:
        while await call.read() is not grpc.aio.EOF:
            await asyncio.sleep(0.3)
    except grpc.aio.AioRpcError as error:
        return failure(error)
    raise AssertionError("the stream was not ended")


async def test_what_the_client_cancels_stays_cancelled() -> None:
    """A permit that is withdrawn in the same moment does not turn a cancellation into an answer."""
    refused = asyncio.Event()

    def check() -> None:
        if refused.is_set():
            raise CredentialsInvalid

    permits = Permits()
    permit = permits.while_allowed(check)

    async def stream() -> None:
        with permit:
            await asyncio.Event().wait()

    running: Awaitable[None] = asyncio.create_task(stream())
    for cancelled, expected in ((True, asyncio.CancelledError), (False, CredentialsInvalid)):
        running = asyncio.create_task(stream())
        await asyncio.sleep(0)
        refused.set()
        permit.look()
        if cancelled:
            running.cancel()
        with pytest.raises(expected):
            await running
        refused.clear()
        permit = permits.while_allowed(check)
    assert not permits._permits


async def test_a_key_that_would_have_to_be_fetched_was_withdrawn() -> None:
    """It had verified the token before: nobody waits for the issuer, the stream ends."""

    async def fetched() -> None:
        raise AssertionError("nobody waits")

    def check() -> None:
        raise KeysWanted(fetched)

    permits = Permits()
    permit = permits.while_allowed(check)

    async def stream() -> None:
        with permit:
            await asyncio.Event().wait()

    running = asyncio.create_task(stream())
    await asyncio.sleep(0)
    permit.look()
    with pytest.raises(CredentialsInvalid):
        await running
