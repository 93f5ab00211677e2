"""However an import ends, its slot is free, what was answered is done, and the client knows how to go on."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from contactservice.v1 import contact_service_pb2 as pb
from service.domain.errors import StoreTimeout, StoreUnavailable
from service.ops.memory import MemoryGuard, resident
from service.rpc import token_file
from service.rpc.server import Server
from tests.client import Client, request
from tests.rpc.imported import answered, batch, database_busy, exported, results, until
from tests.rpc.refusal import Refusal, refusal
from tests.rpc.serving import serving

pytestmark = pytest.mark.timeout(60)


async def test_a_client_that_falls_silent_loses_its_stream(client: Client, server: Server) -> None:
    """ABORTED READER_STALLED after the stall timeout, its slot is free, and what was answered is done."""
    call = client.importing()
    assert await answered(call, batch("Ann")) == ["CREATED"]
    assert server.export_slots.taken == 1
    answer = await refusal(call)
    assert (answer.code, answer.reason) == ("ABORTED", "READER_STALLED")
    assert "sent nothing" in answer.message
    await until(lambda: server.export_slots.taken == 0)
    assert [contact.name for contact in await exported(client)] == ["Ann"]


async def test_a_client_that_reads_nothing_loses_its_stream(client: Client, server: Server) -> None:
    """Outcomes that nobody takes fill the window, then the stream ends; no more is read than was answered."""
    call = client.importing()
    rows = [pb.ImportContactsRequest(contacts=[{"id": "x"}] * 500)] * 200
    sending = asyncio.create_task(write_all(call, rows))
    await until(lambda: server.export_slots.taken == 1)
    await until(lambda: server.export_slots.taken == 0, 20)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    assert caught.value.code() is grpc.StatusCode.ABORTED


async def write_all(call: Any, messages: list[pb.ImportContactsRequest]) -> None:
    for message in messages:
        await call.write(message)


async def test_a_client_that_leaves_ends_its_import(client: Client, server: Server) -> None:
    """In the middle of a batch or between two: the slot is free at once, what was answered is done."""
    for is_busy in (True, False):
        call = client.importing()
        assert await answered(call, batch(f"before {is_busy}")) == ["CREATED"]
        if is_busy:
            async with database_busy(server):
                await call.write(batch("during"))
                await asyncio.sleep(0.05)
                call.cancel()
                await until(lambda: server.export_slots.taken == 0, 1)
        else:
            call.cancel()
            await until(lambda: server.export_slots.taken == 0, 1)
    names = {contact.name for contact in await exported(client)}
    assert names >= {"before True", "before False"}


async def test_after_a_break_the_rows_without_outcomes_are_sent_again(client: Client) -> None:
    """At whatever moment it broke: each row is there once in the end, and those with outcomes are found."""
    rows = [{"name": f"Person {number}", "email": f"{number}@example.com"} for number in range(600)]
    done = 0
    for turn in range(6):
        call = client.importing()
        writing = asyncio.create_task(
            write_all(
                call, [request("ImportContacts", contacts=rows[at : at + 50]) for at in range(done, 600, 50)]
            )
        )
        for _ in range(turn % 3):
            done += len((await call.read()).outcomes)
        await asyncio.sleep(0.003 * turn)
        call.cancel()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    first = await client.load(rows[:done])
    assert set(results(first)) <= {"FOUND"}
    outcomes = await client.load(*(rows[at : at + 500] for at in range(done, 600, 500)))
    assert set(results(outcomes)) <= {"CREATED", "FOUND"}
    assert len(await exported(client)) == 600


@pytest.mark.parametrize("error", [StoreUnavailable, StoreTimeout])
async def test_an_absence_of_the_database_ends_the_stream(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """When nothing of a round is answered, with its code; rows that were refused unseen do not hide it."""
    call = client.importing()
    assert await answered(call, batch("Ann")) == ["CREATED"]

    async def away(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(server.store, "take_in", away)
    await call.write(batch("Bob", "x" * 257, "Carl"))
    answer = await refusal(call)
    assert answer.reason == ("STORE_UNAVAILABLE" if error is StoreUnavailable else "STORE_TIMEOUT")


async def test_an_absence_of_some_rows_is_theirs(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have their outcomes, and the stream goes on."""
    take_in, calls = server.store.take_in, 0

    async def sometimes(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise StoreTimeout
        return await take_in(*arguments)

    monkeypatch.setattr(server.store, "take_in", sometimes)
    call = client.importing()
    assert await answered(call, batch("a", "b", "c", "d")) == ["STORE_TIMEOUT", "CREATED"] * 2
    monkeypatch.undo()
    assert set(await answered(call, batch("a", "b", "c", "d"))) == {"CREATED", "FOUND"}
    call.cancel()


async def test_memory_that_is_gone_ends_imports(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """A running one at its next batch, a new one at once; both are told when to come back."""
    async with serving(mongodb_uri, tokens=tokens) as (server, channel):
        client = Client(channel, any_token, account)
        call = client.importing()
        assert await answered(call, batch("Ann")) == ["CREATED"]
        full = MemoryGuard(1, resident)
        full.look()
        server.limits._memory = full
        await call.write(batch("Bob"))
        ends: list[Refusal] = [await refusal(call), await refusal(client.importing())]
        assert [end.reason for end in ends] == ["RATE_LIMITED", "EXPORT_SLOTS_FULL"]
        assert server.limits.refusals["memory"] == 2


async def test_a_withdrawn_token_ends_a_running_import(
    mongodb_uri: str, tmp_path: Path, account: str
) -> None:
    """Within five seconds, also of a client that waits: with what a new call is told."""
    file = tmp_path / "tokens.jsonl"
    token = token_file.add(file, account, ("import",))
    token_file.add(file, account, ("read",))
    async with serving(mongodb_uri, tokens=file) as (server, channel):
        call = Client(channel, token, None).importing()
        assert await answered(call, batch("Ann")) == ["CREATED"]
        token_file.revoke(file, token_file.digest(token)[:12])
        await until(lambda: server.export_slots.taken == 0)
        answer = await refusal(call)
        assert (answer.code, answer.reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


async def test_a_server_that_leaves_ends_its_imports(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """UNAVAILABLE SHUTTING_DOWN when the drain is over; until then batches are still taken."""
    async with serving(mongodb_uri, tokens=tokens) as (server, channel):
        call = Client(channel, any_token, account).importing()
        assert await answered(call, batch("Ann")) == ["CREATED"]
        await server._boundary.drain()
        assert await answered(call, batch("Bob")) == ["CREATED"]
        server._boundary.end_streams()
        answer = await refusal(call)
        assert (answer.code, answer.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")


async def test_what_was_cut_off_is_audited(
    mongodb_uri: str, tokens: Path, any_token: str, account: str, tmp_path: Path
) -> None:
    """Rows under way when the client leaves may have been written: each has a line, the stream its last."""
    path = tmp_path / "audit.jsonl"
    async with serving(mongodb_uri, tokens=tokens, audit_file=path) as (server, channel):
        client = Client(channel, any_token, account)
        call = client.importing()
        assert await answered(call, batch("Ann")) == ["CREATED"]
        async with database_busy(server):
            await call.write(batch("Bob", "Carl"))
            asked = server.store._by_key._identities
            await until(lambda: asked._callers + asked._inside == 2)
            call.cancel()
            await until(lambda: server.export_slots.taken == 0)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["code"] for line in lines[1:]] == ["OK", "CANCELLED", "CANCELLED", "CANCELLED"]
        assert lines[-1]["phase"] == "end"


@pytest.mark.parametrize("asked", [True, False])
async def test_a_database_that_is_away_leaves_the_end_in_the_trail(
    mongodb_uri: str,
    tokens: Path,
    any_token: str,
    account: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: bool,
) -> None:
    """Rows that it was asked for have lines, as they may be written; the stream has its last line anyway."""
    path = tmp_path / "audit.jsonl"

    async def away(*_: Any) -> Any:
        raise StoreUnavailable(asked=asked)

    async with serving(mongodb_uri, tokens=tokens, audit_file=path) as (server, channel):
        call = Client(channel, any_token, account).importing()
        assert await answered(call, batch("Ann")) == ["CREATED"]
        monkeypatch.setattr(server.store, "take_in", away)
        await call.write(batch("Bob"))
        assert (await refusal(call)).reason == "STORE_UNAVAILABLE"
        await until(lambda: server.export_slots.taken == 0)
        _, _, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("phase", "row") for line in lines] == (["row"] if asked else []) + ["end"]
    assert {line["reason"] for line in lines} == {"STORE_UNAVAILABLE"}
