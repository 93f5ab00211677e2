"""ExportContacts: what the messages of a stream are, what its text says, and how it is refused or ended."""

import asyncio
import base64
import hashlib
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import Parse

from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.contact_service_pb2 import ExportContactsResponse
from service.rpc.server import Server
from service.storage.gate import SLOTS
from tests.client import Client, Failure, failure
from tests.people import fill

pytestmark = pytest.mark.usefixtures("each_way")

MIB = 1024 * 1024
NEWEST = "CONTACT_ORDER_NEWEST_FIRST"
CONTACTS = "EXPORT_FORMAT_CONTACTS"
FIELDS = [
    *("id", "fingerprint", "trusted", "name", "description", "email", "phone", "nickname", "preferences"),
    *("metadata", "verifiedAt", "createdAt", "updatedAt", "etag"),
]
FULL: dict[str, Any] = {
    "fingerprint": 'f"\\\u2028\u2029\U0001f984',
    "name": "Ann \u2028 Lee",
    "description": "one\r\n\ttwo",
    "email": "ann@example.com",
    "phone": "+49",
    "nickname": "\u202eann\ufeff",
    "preferences": "a\u2029b",
    "metadata": {"k\u2028": [1, 1.5, True, None, {"x": ""}, "\u0085"], "$ref": {}, "a.b": 2.0**52},
    "verified_at": "2020-02-29T23:59:59.120Z",
}


async def messages(client: Client, **fields: Any) -> list[ExportContactsResponse]:
    return [message async for message in client.export(**fields)]


async def broken_off(stream: AsyncIterator[Any]) -> tuple[list[ExportContactsResponse], Failure]:
    """What came before the error, and the error."""
    read = []
    try:
        async for message in stream:
            read.append(message)  # noqa: PERF401 (what came before the error is kept)
    except grpc.aio.AioRpcError as error:
        return read, failure(error)
    raise AssertionError("the stream did not break off")


def text(stream: list[ExportContactsResponse]) -> bytes:
    return b"".join(message.data for message in stream)


def names(stream: list[ExportContactsResponse]) -> list[str]:
    return [json.loads(line)["name"] for line in text(stream).split(b"\n")[:-1]]


async def test_a_stream_is_header_parts_summary(server: Server, client: Client, account: str) -> None:
    """In this order; each part has whole records, their number and a token; the summary proves the rest."""
    await fill(server.store, account, count=3000, size=600)
    before = time.time_ns() // 1_000_000
    header, *parts, last = await messages(client)
    assert header.header.content_type == "application/jsonl"
    assert before - 1 <= header.header.read_time.ToMilliseconds() <= time.time_ns() // 1_000_000
    assert header.header.read_time.nanos % 1_000_000 == 0
    assert (header.record_count, header.resume_token, last.record_count, last.resume_token) == (0, "", 0, "")
    assert len(parts) > 3
    for part in parts:
        assert part.WhichOneof("part") == "data"
        assert part.data.endswith(b"\n")
        assert part.data.count(b"\n") == part.record_count > 0
        assert part.resume_token
        assert len(part.data) < 300 * 1024
    assert len(parts[0].data) < 32 * 1024
    assert len({part.resume_token for part in parts}) == len(parts)
    data = text(parts)
    summary = last.summary
    assert (summary.records, summary.total_records) == (3000, 3000)
    assert (summary.bytes, summary.total_bytes) == (len(data), len(data))
    assert summary.sha256 == hashlib.sha256(data).hexdigest()
    assert (summary.complete, summary.next_part_token) == (True, "")


async def test_a_line_is_a_contact(client: Client) -> None:
    """One JSON object a line with every field in proto order; read as protojson it is what Get returns."""
    full = await client.create(**FULL)
    bare = await client.create()
    data = text(await messages(client))
    assert data.endswith(b"\n")
    lines = data.decode().splitlines()
    assert len(lines) == 2
    assert [Parse(line, Contact()) for line in lines] == [full, bare]
    for line, contact in zip(lines, (full, bare), strict=True):
        assert list(json.loads(line)) == FIELDS
        assert (
            json.loads(line)["createdAt"]
            == contact.created_at.ToDatetime().strftime("%Y-%m-%dT%H:%M:%S.")
            + f"{contact.created_at.nanos // 1_000_000:03d}Z"
        )
    absent = {name for name, value in json.loads(lines[1]).items() if value is None}
    assert absent == {"name", "description", "email", "phone", "nickname", "preferences", "verifiedAt"}
    assert json.loads(lines[1])["metadata"] == {}
    assert json.loads(lines[0])["verifiedAt"] == "2020-02-29T23:59:59.120Z"
    assert '"a.b":4503599627370496' in lines[0]
    assert not re.search("[\u0085\u2028\u2029]", data.decode())


async def test_contacts_are_messages(client: Client) -> None:
    """CONTACTS carries what Get returns, in order; there is no text, and so no sum of one."""
    created = [await client.create(**FULL), await client.create()]
    header, *parts, last = await messages(client, format=CONTACTS)
    assert header.header.content_type
    assert {part.WhichOneof("part") for part in parts} == {"contacts"}
    assert [contact for part in parts for contact in part.contacts.contacts] == created
    assert sum(part.record_count for part in parts) == last.summary.records == 2
    assert (last.summary.bytes, last.summary.sha256, last.summary.complete) == (0, "", True)


@pytest.mark.parametrize("fields", [{}, {"format": CONTACTS}], ids=str)
async def test_nothing_to_export_is_complete(client: Client, fields: dict[str, Any]) -> None:
    """A header and a summary of nothing, whose sum is that of no bytes."""
    header, last = await messages(client, **fields)
    assert header.HasField("header")
    assert last.summary.complete
    assert (last.summary.records, last.summary.bytes, last.summary.next_part_token) == (0, 0, "")
    assert last.summary.sha256 == ("" if fields else hashlib.sha256(b"").hexdigest())


async def test_filter_and_order(client: Client) -> None:
    """Oldest first unless asked otherwise, and only what matches."""
    for number in range(6):
        await client.create(name=f"{number}", metadata={"odd": number % 2 == 1})
    odd = {"metadata": {"odd": True}}
    assert names(await messages(client)) == list("012345")
    assert names(await messages(client, order=NEWEST)) == list("543210")
    assert names(await messages(client, filter=odd)) == list("135")
    assert names(await messages(client, filter=odd, order=NEWEST)) == list("531")


@pytest.mark.parametrize("most", [1, 5, 6, 7, 2**63 - 1])
async def test_max_records_ends_the_file(client: Client, most: int) -> None:
    """At most so many records, and a next part only when something that matches is left."""
    for number in range(12):
        await client.create(name=f"{number}", metadata={"odd": number % 2 == 1})
    stream = await messages(client, max_records=str(most), filter={"metadata": {"odd": True}})
    summary = stream[-1].summary
    assert summary.records == min(most, 6)
    assert summary.complete is (most >= 6)
    assert bool(summary.next_part_token) is (most < 6)


async def test_a_resumed_stream_sees_the_set_as_it_is(client: Client) -> None:
    """A token needs its row no more: what was deleted is missing, what is new and behind it is there."""
    created = [await client.create(name=f"{number}") for number in range(6)]
    *_, part, last = await messages(client, max_records="3")
    for contact in created[2:4]:
        await client.call("DeleteContact", id=contact.id)
    await client.create(name="new")
    assert names(await messages(client, resume_token=part.resume_token, max_records="5")) == ["4", "5"]
    rest = await messages(client, resume_token=last.summary.next_part_token)
    assert names(rest) == ["4", "5", "new"]
    assert rest[-1].summary.total_records == 6


async def test_a_broken_token_is_refused_before_the_header(client: Client) -> None:
    """PAGE_TOKEN_INVALID for whatever was changed, cut, added or made up."""
    await client.create()
    token = (await messages(client))[1].resume_token
    flipped = base64.urlsafe_b64encode(
        bytes(byte ^ 1 for byte in base64.urlsafe_b64decode(token + "=="))[:-1]
    )
    changed = [token[:place] + "~" + token[place + 1 :] for place in range(0, len(token), 7)]
    for broken in [*changed, token[:-1], token + "A", token[1:], flipped.decode(), "x", "é", " ", token * 2]:
        read, failed = await broken_off(client.export(resume_token=broken))
        assert read == []
        assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
        assert failed.fields == ["resume_token"]


async def until_quiet(server: Server, tasks: int, seconds: float) -> None:
    """Returns when no call, slot, operation or task of an export is left."""
    gate = server.store._gate
    async with asyncio.timeout(seconds):
        while (
            server._boundary._calls
            or server.export_slots.taken
            or gate._running
            or gate._slots._value < SLOTS
            or len(asyncio.all_tasks()) > tasks
        ):
            await asyncio.sleep(0.01)


async def test_a_cancelled_export_holds_nothing(server: Server, client: Client, account: str) -> None:
    """Within a second of the cancellation its slot, its operations and its tasks are gone."""
    await fill(server.store, account, count=6000, size=2000)
    tasks = len(asyncio.all_tasks())
    for taken in (1, 2, 5):
        call = client.export()
        stream = aiter(call)
        for _ in range(taken):
            await anext(stream)
        assert server.export_slots.taken == 1
        call.cancel()
        await until_quiet(server, tasks, 1.0)


async def test_a_reader_that_takes_nothing_loses_its_stream(
    server: Server, any_token: str, account: str
) -> None:
    """ABORTED READER_STALLED when it reads again, without a summary; the server has let go before that."""
    await fill(server.store, account, count=6000, size=2000)
    tasks = len(asyncio.all_tasks())
    async with grpc.aio.insecure_channel(str(server.address)) as channel:
        call = Client(channel, any_token, account).export(timeout=20)
        stream = aiter(call)
        await anext(stream)
        # The session's server waits half a second. gRPC itself keeps the ended call until its client reads.
        await until_quiet(server, sys.maxsize, 2.0)
        assert not call.done()
        read, failed = await broken_off(stream)
    assert (failed.code, failed.reason) == ("ABORTED", "READER_STALLED")
    assert read
    assert not any(message.HasField("summary") for message in read)
    await until_quiet(server, tasks, 1.0)
