"""How watches end, and how many there may be: slots, drains, credentials, slow readers, a lost history."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.rpc import token_file
from service.rpc.auth import SCOPES
from service.rpc.server import Server
from service.storage.gate import SLOTS
from tests.client import Client, Failure, failure
from tests.people import fill
from tests.rpc.refusal import refusal
from tests.rpc.serving import serving

pytestmark = pytest.mark.timeout(60)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def ending(watch: Any) -> Failure:
    """How the stream ends."""
    try:
        async with asyncio.timeout(20):
            while await watch.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return failure(error)
    raise AssertionError("the stream ended without an error")


async def test_a_watch_that_is_left_is_over(server: Server, client: Client) -> None:
    """Slot and tasks are free within a second, and with the last one the stream to the database ends."""
    # The first watch ever makes the driver's client for those who come from afar, which stays.
    async with client.watch() as watch:
        await watch.read()
    await until(lambda: not server.store.changes.is_followed)
    before = len(asyncio.all_tasks())
    for _ in range(3):
        async with client.watch() as watch:
            await watch.read()
            assert server.watch_slots.taken == 1
            assert server._boundary.watched.streams == 1
        await until(lambda: server.watch_slots.taken == 0, 1.0)
    await until(lambda: not server.store.changes.is_followed, 2.0)
    await until(lambda: len(asyncio.all_tasks()) <= before, 2.0)


async def test_the_fifth_watch_of_an_account_is_told_when_to_come_back(
    server: Server, client: Client
) -> None:
    """EXPORT_SLOTS_FULL with the time to wait; exports have slots of their own."""
    watches = [client.watch() for _ in range(4)]
    for watch in watches:
        await (await watch.__aenter__()).read()
    assert server.watch_slots.taken == 4
    async with client.watch() as fifth:
        answer = await refusal(fifth)
    assert (answer.code, answer.reason) == ("RESOURCE_EXHAUSTED", "EXPORT_SLOTS_FULL")
    assert "watch slots" in answer.message
    assert "grpc-retry-pushback-ms" in answer.trailing
    assert [part async for part in client.export()]
    for watch in watches:
        await watch.__aexit__(None, None, None)
    await until(lambda: server.watch_slots.taken == 0)


async def test_slots_are_a_setting(mongodb_uri: str, tokens: Path, any_token: str, account: str) -> None:
    """Of an account, and of the process; refusals are counted by their limit."""
    flags = {"watch_slots": 2, "watch_slots_per_account": 1}
    async with serving(mongodb_uri, tokens=tokens, **flags) as (server, channel):
        first, second, third = (Client(channel, any_token, f"{account}-{each}") for each in "abc")
        async with first.watch() as one, second.watch() as two:
            await one.read()
            await two.read()
            for other in (first, third):
                assert (await other.failure("WatchContacts")).reason == "EXPORT_SLOTS_FULL"
        assert +server.limits.refusals == {"watch_slots": 2}


async def test_a_drain_ends_watches_at_once(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """SHUTTING_DOWN, and the drain has not waited for them."""
    async with (
        serving(mongodb_uri, tokens=tokens, drain_timeout=20) as (server, channel),
        Client(channel, any_token, account).watch() as watch,
    ):
        await watch.read()
        draining = asyncio.create_task(server._boundary.drain())
        failed = await ending(watch)
        assert (failed.code, failed.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
        await draining
        await asyncio.wait_for(server._boundary.idle(), 1.0)


async def test_a_watch_that_begins_as_the_drain_does_ends_too(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """It was let in, and waits for the database while all others are ended."""
    async with (
        serving(mongodb_uri, tokens=tokens) as (server, channel),
        Client(channel, any_token, account).watch() as watch,
    ):
        slots = server.store.gate._slots
        for _ in range(SLOTS):
            await slots.acquire()
        ended = asyncio.create_task(ending(watch))
        await until(lambda: server._boundary._calls == 1)
        await server._boundary.drain()
        for _ in range(SLOTS):
            slots.release()
        assert (await ended).reason == "SHUTTING_DOWN"


async def test_who_lost_its_replica_goes_on_with_its_token(
    mongodb_uri: str, tokens: Path, any_token: str, account: str, client: Client
) -> None:
    """What happens until it is back is told by another one."""
    async with (
        serving(mongodb_uri, tokens=tokens) as (server, channel),
        Client(channel, any_token, account).watch() as watch,
    ):
        await watch.read()
        seen = await client.create(name="seen")
        message = await watch.read()
        assert message.change.id == seen.id
        await server._boundary.drain()
        await ending(watch)
    missed = await client.create(name="missed")
    async with client.watch(resume_token=message.resume_token) as watch:
        await watch.read()
        assert (await watch.read()).change.id == missed.id


async def test_withdrawn_credentials_end_a_watch(mongodb_uri: str, tmp_path: Path, account: str) -> None:
    """Within seconds, with what a new call is told."""
    file = tmp_path / "tokens.jsonl"
    token_file.add(file, "other", SCOPES)
    token = token_file.add(file, account, ("export",))
    async with (
        serving(mongodb_uri, tokens=file) as (_, channel),
        Client(channel, token, None).watch() as watch,
    ):
        await watch.read()
        token_file.revoke(file, token_file.digest(token)[:12])
        failed = await ending(watch)
    assert (failed.code, failed.reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


async def test_a_reader_that_takes_nothing_loses_its_stream_and_no_change(
    server: Server, client: Client, account: str
) -> None:
    """READER_STALLED; from the last token that arrived all others are told, and little was kept for it."""
    async with client.watch() as watch:
        await watch.read()
        people = await fill(server.store, account, count=3000, size=4000)
        await until(lambda: server.watch_slots.taken == 0, 20)
        seen, token = [], ""
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012 (what came before the end is kept)
            while message := await watch.read():
                seen, token = [*seen, message.change.id], message.resume_token
    assert failure(caught.value).reason == "READER_STALLED"
    assert 0 < len(seen) < 3000
    async with client.watch(resume_token=token) as watch:
        while len(seen) < 3000:
            message = await watch.read()
            if message.HasField("change"):
                seen.append(message.change.id)
    assert seen == [person.id for person in people]


async def test_a_history_that_is_gone_is_told(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """OUT_OF_RANGE RESUME_TOKEN_EXPIRED: who has that token exports anew."""
    async with serving(mongodb_uri, tokens=tokens, database=account) as (server, channel):
        client = Client(channel, any_token, account)
        async with client.watch() as watch:
            token = (await watch.read()).resume_token
        await server.store._client.drop_database(account)
        failed = await client.failure("WatchContacts", resume_token=token)
    assert (failed.code, failed.reason) == ("OUT_OF_RANGE", "RESUME_TOKEN_EXPIRED")
