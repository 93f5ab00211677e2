"""The stream of an import: options once, batch by batch, what it counts as, and what is audited of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from contactservice.v1 import contact_service_pb2 as pb
from service.rpc.batching import AT_ONCE
from service.rpc.server import Server
from tests.client import Client, request
from tests.rpc.imported import MERGE, answered, batch, database_busy, exported, results, until
from tests.rpc.refusal import refusal
from tests.rpc.serving import serving

Edit = Callable[[pb.ImportContactsRequest], object]


async def test_a_batch_is_answered_before_the_next_is_sent(client: Client) -> None:
    """One message for each batch, as soon as it is done; the stream ends when the client's does."""
    call = client.importing()
    assert await answered(call, batch("Ann", "Bob", conflict="IMPORT_CONFLICT_FAIL")) == ["CREATED"] * 2
    assert await answered(call, batch("Ann")) == ["FINGERPRINT_TAKEN"], "the options hold for all of it"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_options_may_come_alone(client: Client) -> None:
    """A message without rows has no answer: not the first one, nor one in the middle."""
    call = client.importing()
    await call.write(request("ImportContacts", options={"validate_only": True}))
    assert await answered(call, batch("Ann")) == ["CREATED"]
    await call.write(pb.ImportContactsRequest())
    assert await answered(call, batch("Bob")) == ["CREATED"]
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await exported(client) == []


async def test_an_import_of_nothing(client: Client) -> None:
    """Neither options nor rows: it has no answer and succeeds."""
    assert await client.load() == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (lambda message: message.options.SetInParent(), "options"),
        (lambda message: message.contacts.extend([message.contacts[0]] * 500), "contacts"),
    ],
    ids=["options again", "too many rows"],
)
async def test_a_bad_message_ends_the_stream(client: Client, wrong: Edit, field: str) -> None:
    """INVALID_FIELD with its field; nothing of it is done, what was answered before is."""
    call = client.importing()
    assert await answered(call, batch("Ann")) == ["CREATED"]
    message = batch("Bob")
    wrong(message)
    await call.write(message)
    answer = await refusal(call)
    assert (answer.code, answer.reason, answer.fields) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])
    assert [contact.name for contact in await exported(client)] == ["Ann"]


async def test_an_unknown_conflict_is_refused(client: Client) -> None:
    """One that this version does not have is not taken for the default."""
    message = batch("Ann")
    message.options.conflict = 9  # type: ignore[assignment]
    call = client.importing()
    await call.write(message)
    assert (await refusal(call)).fields == ["options.conflict"]
    assert await exported(client) == []


async def test_later_bytes_that_do_not_parse(client: Client, channel: grpc.aio.Channel) -> None:
    """INVALID_FIELD, as of the first ones."""
    path = "/contactservice.v1.ContactService/ImportContacts"
    call = channel.stream_stream(path)(metadata=client.metadata, timeout=20)
    await call.write(batch("Ann").SerializeToString())
    assert pb.ImportContactsResponse.FromString(await call.read()).outcomes
    await call.write(b"\xff")
    answer = await refusal(call)
    assert (answer.reason, answer.fields) == ("INVALID_FIELD", ["request"])


async def test_the_next_batch_waits_for_the_outcomes_of_the_last(client: Client, server: Server) -> None:
    """While one is in work, nothing of the next is; however many the client has sent."""
    counts = next(each for each in server._boundary.counts if each.labels[2] == "ImportContacts")
    received = counts.received
    call = client.importing()
    async with database_busy(server):
        for name in ("a", "b", "c"):
            await call.write(batch(name))
        await until(lambda: counts.received > received)
        assert (await client.failure("GetContact", id="")).reason == "INVALID_FIELD", "others are answered"
        assert counts.received == received + 1
    await call.done_writing()
    assert [results(answer.outcomes) async for answer in call] == [["CREATED"]] * 3
    assert counts.received == received + 3


async def test_a_whole_batch_goes_in_rounds(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five hundred rows, never more than a round of them at once, so that other callers have their turn."""
    take_in, at_once, most = server.store.take_in, 0, 0

    async def counted(*arguments: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await take_in(*arguments)
        finally:
            at_once -= 1

    monkeypatch.setattr(server.store, "take_in", counted)
    outcomes = await client.load([{"name": str(number)} for number in range(500)])
    assert results(outcomes) == ["CREATED"] * 500
    assert most == AT_ONCE


async def test_rows_count_as_calls(mongodb_uri: str, tokens: Path, any_token: str, account: str) -> None:
    """Beyond the rate the stream ends with RATE_LIMITED and the wait; the batch is not begun."""
    async with serving(mongodb_uri, tokens=tokens, rate_calls="1/h:6") as (server, channel):
        client = Client(channel, any_token, account)
        call = client.importing()
        assert await answered(call, batch("a", "b", "c")) == ["CREATED"] * 3
        await call.write(batch("d", "e", "f"))
        answer = await refusal(call)
        assert (answer.code, answer.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert "grpc-retry-pushback-ms" in answer.trailing
        assert +server.limits.refusals == {"rate_calls": 1}
        assert (await client.call("CountContacts")).count == 3


async def test_imports_share_the_slots_of_exports(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """EXPORT_SLOTS_FULL for either while the other has the last slot."""
    async with serving(mongodb_uri, tokens=tokens, export_slots_per_account=1) as (server, channel):
        client = Client(channel, any_token, account)
        call = client.importing()
        assert await answered(call, batch("Ann")) == ["CREATED"]
        for refused in (client.importing(), client.export()):
            assert (await refusal(refused)).reason == "EXPORT_SLOTS_FULL"
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        assert server.export_slots.taken == 0
        assert len(await exported(client)) == 1


async def test_each_row_that_wrote_has_an_audit_line(
    mongodb_uri: str, tokens: Path, any_token: str, account: str, tmp_path: Path
) -> None:
    """Before its outcome arrives, between the lines of start and end; found and refused rows have none."""
    path = tmp_path / "audit.jsonl"

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    async with serving(mongodb_uri, tokens=tokens, audit_file=path) as (_, channel):
        client = Client(channel, any_token, account)
        call = client.importing()
        first = request("ImportContacts", options=MERGE, contacts=[{"name": "Ann"}, {}, {"name": "Ann"}])
        await call.write(first)
        created = (await call.read()).outcomes[0].id
        start, line = lines()
        assert (start["method"], start["phase"], start["account"]) == ("ImportContacts", "start", account)
        assert (line["code"], line["contact_id"], line["request_id"]) == ("OK", created, start["request_id"])
        await call.write(request("ImportContacts", contacts=[{"id": created, "nickname": "An"}]))
        await call.read()
        assert [each["contact_id"] for each in lines()[2:]] == [created]
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        end = lines()[-1]
        assert (end["phase"], end["code"], end["count"]) == ("end", "OK", 4)
        assert "filter" not in end
        await client.load([{"name": "nobody yet"}], validate_only=True)
        assert [each["phase"] for each in lines()[4:]] == ["start", "end"]
