"""How much an account and all together may ask: what is refused, what the client is told, what it costs."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pymongo import AsyncMongoClient

from service.domain.errors import RateLimited
from service.ops.memory import MemoryGuard, resident
from service.rpc import token_file
from service.rpc.server import Server
from tests.client import Client, request
from tests.commands import Commands
from tests.people import fill
from tests.rpc.refusal import Refusal, ended, refusal
from tests.rpc.serving import serving

Limited: TypeAlias = Callable[..., AbstractAsyncContextManager[tuple[Server, Client]]]


@pytest.fixture
def limited(mongodb_uri: str, tokens: Path, any_token: str, account: str) -> Limited:
    """A server with these settings, and a client of the test's account."""

    @asynccontextmanager
    async def serve(**flags: Any) -> AsyncIterator[tuple[Server, Client]]:
        async with serving(mongodb_uri, tokens=tokens, **flags) as (server, channel):
            yield server, Client(channel, any_token, account)

    return serve


async def refused(client: Client, method: str, **fields: Any) -> Refusal:
    message = request(method, **fields)
    return await refusal(client.unary(method)(message, metadata=client.metadata, timeout=20))


def wait_of(answer: Refusal) -> float:
    """Seconds until the next try, which RetryInfo and pushback tell alike."""
    retry = answer.detail(RetryInfo)
    assert retry
    assert "grpc-retry-pushback-ms" in answer.trailing
    return retry.retry_delay.ToMilliseconds() / 1000


async def pushback(client: Client, method: str, **fields: Any) -> int:
    """What the trailing metadata of a refusal say, in milliseconds."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.call(method, **fields)
    return int(dict(caught.value.trailing_metadata() or ())["grpc-retry-pushback-ms"])


async def is_alive(channel: grpc.aio.Channel) -> bool:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
def other(account: str) -> str:
    return account + "-b"


async def test_an_account_above_its_rate_is_told_when_to_come_back(
    limited: Limited, any_token: str, other: str
) -> None:
    """RATE_LIMITED with the exact wait, as RetryInfo and as pushback; other accounts notice nothing."""
    async with limited(rate_calls="60/h:3") as (server, client):
        for _ in range(3):
            await client.list()
        answer = await refused(client, "ListContacts")
        assert (answer.code, answer.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert 50 < wait_of(answer) <= 60
        assert 50_000 < await pushback(client, "ListContacts") <= math.ceil(wait_of(answer) * 1000)
        async with grpc.aio.insecure_channel(str(server.address)) as channel:
            await Client(channel, any_token, other).list()
        assert +server.limits.refusals == {"rate_calls": 2}


async def test_who_waits_as_told_is_served(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many that come at once one is served, and after the wait that the others are told the next."""
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("service.rpc.limits.time", clock)
    async with limited(rate_calls="2/s:1") as (_, client):
        came = await asyncio.gather(*(outcome(client) for _ in range(10)))
        assert sorted(came) == [0, *[0.5] * 9]
        clock.now += 0.499
        assert 0 < await outcome(client) <= 0.001
        clock.now += 0.001
        assert not await outcome(client)
        assert await outcome(client) == 0.5


async def outcome(client: Client) -> float:
    """The wait that a call is told; 0 when it is served."""
    call = client.stub.ListContacts(request("ListContacts"), metadata=client.metadata, timeout=20)
    if await call.code() is grpc.StatusCode.OK:
        return 0.0
    return wait_of(await refusal(call))


async def test_deletions_have_a_rate_of_their_own(limited: Limited) -> None:
    """Other calls go on, and what was not deleted is there."""
    async with limited(rate_deletes="1/h") as (server, client):
        first, second = [await client.create() for _ in range(2)]
        await client.call("DeleteContact", id=first.id)
        answer = await refused(client, "DeleteContact", id=second.id)
        assert (answer.reason, +server.limits.refusals) == ("RATE_LIMITED", {"rate_deletes": 1})
        assert await client.get(second.id) == second


async def test_starts_of_exports_have_a_rate_of_their_own(limited: Limited) -> None:
    """An export that was refused for it holds no slot."""
    async with limited(rate_exports="2/h") as (server, client):
        for _ in range(2):
            async for _ in client.export():
                pass
        answer = await refusal(client.export())
        assert answer.reason == "RATE_LIMITED"
        assert 1700 < wait_of(answer) <= 1800
        assert (server.export_slots.taken, +server.limits.refusals) == (0, {"rate_exports": 1})
        await client.list()


async def test_a_start_without_a_slot_is_not_counted_as_one(limited: Limited, account: str) -> None:
    """Who asks for a slot again and again does not use up the starts of an hour by it."""
    async with limited(rate_exports="2/h", export_slots_per_account=1) as (server, client):
        await fill(server.store, account, count=6000, size=2000)
        running = client.export()
        await running.read()
        for _ in range(3):
            assert (await refusal(client.export())).reason == "EXPORT_SLOTS_FULL"
        running.cancel()
        await until(lambda: not server.export_slots.taken)
        async for _ in client.export():
            pass
        assert +server.limits.refusals == {"export_slots": 3}


async def test_a_rate_is_checked_before_scopes_and_fields(
    limited: Limited, tokens: Path, account: str
) -> None:
    """The order of checks: who, how much, may they, what."""
    async with limited(rate_calls="1/h") as (_, client):
        await client.list()
        reader = token_file.add(tokens, account, ("read",))
        client.metadata = [("authorization", f"Bearer {reader}")]
        assert (await refused(client, "DeleteContact", id="")).reason == "RATE_LIMITED"
        client.metadata = [("authorization", "Bearer nonsense")]
        assert (await refused(client, "DeleteContact", id="")).reason == "CREDENTIALS_INVALID"


async def test_n_may_be_taken_at_once(limited: Limited) -> None:
    """A batch counts its items; one that is larger than the burst is never told to come back."""
    async with limited(rate_deletes="1/h:500") as (server, _):
        server.limits.take("a", "deletes", 400)
        for n, waits in ((200, True), (501, False)):
            with pytest.raises(RateLimited, match="rate of deletes") as caught:
                server.limits.take("a", "deletes", n)
            assert (caught.value.retry_after is not None) == waits
        server.limits.take("a", "calls", 10_000)


@asynccontextmanager
async def occupied(server: Server, client: Client, account: str) -> AsyncIterator[grpc.aio.UnaryStreamCall]:
    """While one call of the account is under way: an export that nobody reads."""
    await fill(server.store, account, count=6000, size=2000)
    running = client.export()
    await running.read()
    yield running
    running.cancel()
    await until(lambda: not server.limits.in_flight)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_full_process_refuses_all_but_health(limited: Limited, account: str, other: str) -> None:
    """RATE_LIMITED with a short wait, whoever calls; when there is room again, calls are answered again."""
    async with limited(calls_in_flight=1) as (server, client):
        async with occupied(server, client, account):
            for metadata in (client.metadata, [client.metadata[0], ("x-account-id", other)]):
                call = client.stub.ListContacts(request("ListContacts"), metadata=metadata, timeout=20)
                answer = await refusal(call)
                assert (answer.code, answer.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
                assert 0 < wait_of(answer) <= 1
            async with grpc.aio.insecure_channel(str(server.address)) as channel:
                assert await is_alive(channel)
            assert (server.limits.in_flight, +server.limits.refusals) == (1, {"in_flight": 2})
        await client.list()


async def test_an_account_that_fills_its_part_leaves_room_to_others(
    limited: Limited, account: str, other: str
) -> None:
    """Its own further calls are RATE_LIMITED, those of another account are answered."""
    async with limited(calls_in_flight_per_account=1) as (server, client):
        async with occupied(server, client, account):
            assert wait_of(await refused(client, "ListContacts")) <= 1
            stranger = [client.metadata[0], ("x-account-id", other)]
            await client.stub.ListContacts(request("ListContacts"), metadata=stranger, timeout=20)
        assert +server.limits.refusals == {"in_flight_of_account": 1}
        for _ in range(3):
            await client.list()


@pytest.mark.parametrize("flags", [{"calls_in_flight": 2}, {"calls_in_flight_per_account": 2}], ids=str)
async def test_calls_leave(limited: Limited, flags: dict[str, int]) -> None:
    """However a call ends, its place is free again."""
    async with limited(**flags) as (server, client):
        for _ in range(3):
            await client.list()
            for contact_id in ("", "nonsense"):
                assert (await client.failure("GetContact", id=contact_id)).reason != "RATE_LIMITED"
            async for _ in client.export():
                pass
        assert server.limits.in_flight == 0


@pytest.mark.parametrize(
    ("share", "listing", "exporting"),
    [(0.5, "", ""), (0.86, "", "EXPORT_SLOTS_FULL"), (1.2, "RATE_LIMITED", "EXPORT_SLOTS_FULL")],
)
async def test_a_process_near_its_memory_limit_takes_less(
    limited: Limited, share: float, listing: str, exporting: str
) -> None:
    """No exports from 80 % on, nothing but health from 92 % on, each with the time to wait."""
    async with limited(memory_limit=2**50) as (server, client):
        near(server.memory, share)
        for call, reason in (
            (client.stub.ListContacts(request("ListContacts"), metadata=client.metadata), listing),
            (client.export(), exporting),
        ):
            if reason:
                answer = await refusal(call)
                assert (answer.code, answer.reason, wait_of(answer)) == ("RESOURCE_EXHAUSTED", reason, 1)
            else:
                await ended(call)
        async with grpc.aio.insecure_channel(str(server.address)) as channel:
            assert await is_alive(channel)
        assert +server.limits.refusals == ({"memory": bool(listing) + bool(exporting)} if exporting else {})


def near(memory: MemoryGuard, share: float) -> None:
    memory.limit = 1
    # What can be handed back has been, from here on.
    memory.look()
    memory.limit = int(resident() / share)
    memory.look()


REFUSING = {
    "rate": {"rate_calls": "1/h:2"},
    "deletes": {"rate_deletes": "1/h", "rate_exports": "1/h"},
    "memory": {"memory_limit": 1},
}


@pytest.mark.parametrize("flags", REFUSING.values(), ids=REFUSING)
async def test_a_refusal_asks_the_database_nothing(
    limited: Limited, flags: dict[str, Any], account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the limit and the call, no command is sent."""
    commands = Commands()
    monkeypatch.setattr(
        "service.rpc.server.connect", lambda uri, _: AsyncMongoClient(uri, event_listeners=[commands])
    )
    async with limited(**flags) as (server, client):
        if "memory_limit" in flags:
            await until(lambda: server.memory.is_gone)
        else:
            await client.call("DeleteContact", id="nonsense", allow_missing=True)
            async for _ in client.export():
                pass
            assert commands.with_text(account)
        before = len(commands.with_text(account))
        for _ in range(10):
            assert (await refused(client, "DeleteContact", id="nonsense")).code == "RESOURCE_EXHAUSTED"
            assert (await refusal(client.export())).code == "RESOURCE_EXHAUSTED"
        assert (len(commands.with_text(account)), sum(server.limits.refusals.values())) == (before, 20)
