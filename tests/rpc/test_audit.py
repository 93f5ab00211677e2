"""The audit trail: who did what to which contacts, line by line."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from service.rpc import boundary
from service.rpc.audited import NAMED
from service.rpc.auth import RPC_SCOPES
from service.rpc.server import SERVICE, Server
from service.storage.gate import SLOTS
from tests.client import Client, request
from tests.rpc.serving import serving
from tests.rpc.test_weather import until

COMMON = {"time", "level", "event", "method", "account", "principal", "request_id"}


class Trail:
    """A server with an audit file, a client, and the lines since the last look."""

    def __init__(self, path: Path, server: Server, client: Client) -> None:
        self.path = path
        self.server = server
        self.client = client

    def lines(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        self.path.write_text("")
        return lines


@pytest_asyncio.fixture
async def trail(
    mongodb_uri: str,
    tokens: Path,
    any_token: str,
    account: str,
    tmp_path: Path,
) -> AsyncIterator[Trail]:
    path = tmp_path / "audit.jsonl"
    async with serving(mongodb_uri, tokens=tokens, audit_file=path) as (server, channel):
        yield Trail(path, server, Client(channel, any_token, account))


def test_all_that_changes_or_sends_out_is_audited() -> None:
    """An RPC that needs a scope other than read has an entry in the table."""
    assert NAMED.keys() == {name for name, scopes in RPC_SCOPES.items() if scopes - {"read"}}


async def test_a_birth_is_one_line(trail: Trail, any_token: str, account: str) -> None:
    """Who, for which account, what, which contact, how it ended; there when the answer is."""
    contact = await trail.client.create(name="Ann")
    [line] = trail.lines()
    assert line.keys() == COMMON | {"code", "contact_id"}
    assert (line["event"], line["method"], line["code"]) == ("audit", "CreateContact", "OK")
    assert (line["account"], line["contact_id"]) == (account, contact.id)
    assert line["principal"]
    assert any_token not in str(line)


async def test_what_was_only_found_is_no_line(trail: Trail) -> None:
    """Get or create that gets has written nothing; reads have no lines either."""
    contact, _ = await trail.client.ensure(email="ann@example.com")
    assert [line["method"] for line in trail.lines()] == ["EnsureContact"]
    await trail.client.ensure(email="ann@example.com")
    await trail.client.get(contact.id)
    await trail.client.list()
    assert trail.lines() == []


async def test_each_of_a_batch_has_a_line(trail: Trail) -> None:
    """Who was created or deleted, and who could not be; who was only found is no line."""
    known, _ = await trail.client.ensure(name="known")
    trail.lines()
    people: list[dict[str, Any]] = [{"name": "known"}, {"name": "new"}, {}]
    answer = await trail.client.call("BatchEnsureContacts", contacts=people)
    born, refused = sorted(trail.lines(), key=lambda line: line["code"], reverse=True)
    assert born.keys() == COMMON | {"code", "contact_id"}
    assert (born["code"], born["contact_id"]) == ("OK", answer.outcomes[1].contact.id)
    assert (refused["code"], refused["reason"]) == ("INVALID_ARGUMENT", "NO_IDENTITY")
    assert born["request_id"] == refused["request_id"]
    await trail.client.call("BatchDeleteContacts", ids=[known.id, "not an id"])
    lines = {
        line.get("contact_id"): (line["method"], line["code"], line.get("reason")) for line in trail.lines()
    }
    assert lines == {
        known.id: ("BatchDeleteContacts", "OK", None),
        None: ("BatchDeleteContacts", "NOT_FOUND", "CONTACT_NOT_FOUND"),
    }


async def test_a_purge_tells_of_each_and_of_its_filter(trail: Trail) -> None:
    """A line for each who was deleted, and one with how many, and a hash of what they were found by."""
    contacts = [await trail.client.create(metadata={"plan": "pro"}) for _ in range(3)]
    trail.lines()
    await trail.client.call("PurgeContacts", filter={"metadata": {"plan": "pro"}}, force=True)
    *each, last = trail.lines()
    assert {line["contact_id"] for line in each} == {contact.id for contact in contacts}
    assert {(line["method"], line["code"]) for line in each} == {("PurgeContacts", "OK")}
    assert last.keys() == COMMON | {"code", "filter", "count"}
    assert (last["code"], last["count"]) == ("OK", 3)
    assert "pro" not in last["filter"]


async def test_a_batch_that_is_refused_is_one_line(trail: Trail) -> None:
    """With its reason, and without ids: nothing was done."""
    await trail.client.failure("BatchDeleteContacts", ids=["x"] * 1001)
    [line] = trail.lines()
    assert (line["code"], line["reason"]) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_changes_and_deletions_name_their_contact(trail: Trail) -> None:
    """Each one line, with the id that the request names."""
    contact = await trail.client.create()
    trail.lines()
    await trail.client.update({"id": contact.id, "name": "Bob"})
    await trail.client.call("DeleteContact", id=contact.id)
    lines = trail.lines()
    assert [(line["method"], line["contact_id"]) for line in lines] == [
        ("UpdateContact", contact.id),
        ("DeleteContact", contact.id),
    ]


async def test_what_failed_is_told_with_its_reason(trail: Trail) -> None:
    """Also what somebody tried who may not, or whom nobody knows."""
    contact = await trail.client.create()
    trail.lines()
    await trail.client.failure("DeleteContact", id=contact.id, etag="stale")
    trail.client.metadata = []
    await trail.client.failure("DeleteContact", id=contact.id)
    known, unknown = trail.lines()
    assert (known["code"], known["reason"]) == ("ABORTED", "ETAG_MISMATCH")
    assert known["contact_id"] == contact.id
    assert (unknown["code"], unknown["reason"]) == ("UNAUTHENTICATED", "CREDENTIALS_MISSING")
    assert unknown.keys().isdisjoint({"principal", "account", "contact_id"})


async def test_a_failure_is_told_before_its_caller_hears_of_it(trail: Trail) -> None:
    """As an answer is: who was refused something finds the line."""
    await trail.client.failure("DeleteContact", id="")
    trail.lines()
    handler = trail.server._boundary._handlers[f"/{SERVICE.full_name}/DeleteContact"]

    class Context:
        """What gRPC gives to a call, as far as one without credentials gets."""

        told: list[dict[str, Any]]

        def auth_context(self) -> dict[str, Any]:
            return {}

        async def abort(self, *_: Any) -> None:
            self.told = trail.lines()
            raise grpc.aio.AbortError

    context = Context()
    boundary._metadata.set(())
    with pytest.raises(grpc.aio.AbortError):
        await handler.unary_unary(b"", context)
    assert [line["reason"] for line in context.told] == ["CREDENTIALS_MISSING"]
    assert trail.lines() == []


async def test_a_birth_that_was_not_waited_for_is_told_with_its_id(trail: Trail) -> None:
    """The caller leaves during the insert; whoever reads the line can look whether the contact is there."""
    store = trail.server.store
    slots = store.gate._slots
    for _ in range(SLOTS):
        await slots.acquire()
    call = trail.client.unary("CreateContact")(
        request("CreateContact", contact={"name": "Ann"}), metadata=trail.client.metadata
    )
    await until(lambda: sum(store.batch_sizes["insert"]) == 1, 10)
    call.cancel()
    await until(lambda: not trail.server._boundary._calls, 10)
    [line] = trail.lines()
    assert (line["method"], line["code"]) == ("CreateContact", "CANCELLED")
    for _ in range(SLOTS):
        slots.release()
    await store.gate.drained()
    assert (await trail.client.get(line["contact_id"])).name == "Ann"


async def test_what_was_not_asked_of_the_database_is_no_line(trail: Trail) -> None:
    """While it is known to be away. An export that has told of its start has an end all the same."""
    contact = await trail.client.create()
    trail.lines()
    for task in trail.server._following:
        task.cancel()
    trail.server.store.gate._is_shut = True
    assert (await trail.client.failure("DeleteContact", id=contact.id)).reason == "STORE_UNAVAILABLE"
    assert (await trail.client.failure("EnsureContact", contact={"name": "x"})).reason == "STORE_UNAVAILABLE"
    assert (await trail.client.failure("CreateContact")).reason == "STORE_UNAVAILABLE"
    assert trail.lines() == []
    trail.server.store.gate._is_shut = False
    async for _ in trail.client.export():
        pass
    trail.lines()
    trail.server.store.gate._is_shut = True
    assert (await trail.client.failure("ExportContacts")).reason == "STORE_UNAVAILABLE"
    assert [line["phase"] for line in trail.lines()] == ["start", "end"]


async def test_an_id_that_is_none_is_not_repeated(trail: Trail) -> None:
    """A caller may have sent anything for an id, a person's address too."""
    await trail.client.failure("DeleteContact", id="ann@example.com")
    [line] = trail.lines()
    assert "contact_id" not in line
    assert "ann" not in str(line)


async def test_an_export_has_a_line_at_its_start_and_one_at_its_end(trail: Trail) -> None:
    """Under one request id; the first with the filter's hash, the last with counts and outcome."""
    for number in range(3):
        await trail.client.create(name=str(number))
    trail.lines()
    export = aiter(trail.client.export())
    messages = [await anext(export)]
    lines = trail.lines()
    assert lines[0]["phase"] == "start"
    messages += [message async for message in export]
    start, end = lines + trail.lines()
    assert start.keys() == COMMON | {"phase", "filter"}
    assert (start["phase"], end["phase"]) == ("start", "end")
    assert start["request_id"] == end["request_id"]
    assert start["filter"] == end["filter"]
    assert (end["code"], end["count"]) == ("OK", 3)
    assert end["bytes"] == sum(message.ByteSize() for message in messages)


async def test_a_watch_has_a_line_at_its_start_and_one_at_its_end(trail: Trail) -> None:
    """As an export: with the filter's hash, and how many changes were sent."""
    async with trail.client.watch(filter={"emails": ["ann@example.com"]}) as watch:
        await watch.read()
        await trail.client.create(email="ann@example.com")
        await watch.read()
    lines: list[dict[str, Any]] = []
    async with asyncio.timeout(5):
        while not lines or lines[-1].get("phase") != "end":
            lines += trail.lines()
            await asyncio.sleep(0.01)
    start, born, end = lines
    assert (start["method"], start["phase"], born["method"]) == ("WatchContacts", "start", "CreateContact")
    assert start["filter"] == end["filter"]
    assert (end["code"], end["count"]) == ("CANCELLED", 1)
    assert "example.com" not in str(lines)


async def test_filters_are_told_apart_and_not_told(trail: Trail) -> None:
    """The same filter has the same hash, another another; what it holds is not in the line."""
    hashes = []
    for email in ("ann@example.com", "ann@example.com", "bob@example.com"):
        async for _ in trail.client.export(filter={"emails": [email]}):
            pass
        lines = trail.lines()
        assert "example.com" not in str(lines)
        hashes.append(lines[0]["filter"])
    assert hashes[0] == hashes[1] != hashes[2]
