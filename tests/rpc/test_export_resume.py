"""Resuming an export: from every token, in every format, the parts are the bytes of one uninterrupted run."""

import hashlib
import random
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.contact_service_pb2 import ExportContactsResponse
from contactservice.v1.export_pb2 import ExportHeader, ExportSummary
from service.domain import limits
from service.rpc.server import Server
from service.storage import transcode
from service.storage.transcode import Transcoder
from tests.client import Client
from tests.people import fill

pytestmark = pytest.mark.usefixtures("each_way")

SHAPES: list[dict[str, Any]] = [
    {"format": "EXPORT_FORMAT_JSONL"},
    {"format": "EXPORT_FORMAT_JSON"},
    {"format": "EXPORT_FORMAT_CSV"},
    {"format": "EXPORT_FORMAT_CSV", "csv": {"cells": "CSV_CELLS_RAW", "bom": True}},
    {"format": "EXPORT_FORMAT_CONTACTS"},
    {"format": "EXPORT_FORMAT_JSONL", "order": "CONTACT_ORDER_NEWEST_FIRST"},
    {"format": "EXPORT_FORMAT_JSON", "filter": {"metadata": {"plan": "pro"}}},
]
names = [" ".join(str(value) for value in shape.values()) for shape in SHAPES]


@dataclass
class Stream:
    """What one stream brought, and every token with the text up to it."""

    data: bytes = b""
    contacts: list[Contact] = field(default_factory=list)
    records: int = 0
    tokens: list[tuple[str, int, int]] = field(default_factory=list)
    header: ExportHeader | None = None
    summary: ExportSummary | None = None

    def take(self, message: ExportContactsResponse) -> None:
        assert self.summary is None, "nothing follows the summary"
        assert (self.header is None) == message.HasField("header"), "the header comes first, once"
        if message.HasField("header"):
            self.header = message.header
        elif message.HasField("summary"):
            self.summary = message.summary
        else:
            self.data += message.data
            self.contacts += message.contacts.contacts
            self.records += message.record_count
            self.tokens.append((message.resume_token, len(self.data), len(self.contacts)))

    def check(self, *, text: bool) -> None:
        """The summary proves the stream."""
        assert self.summary
        assert self.summary.records == self.records
        assert self.summary.bytes == len(self.data)
        assert self.summary.sha256 == (hashlib.sha256(self.data).hexdigest() if text else "")


async def run(client: Client, **request: Any) -> Stream:
    stream = Stream()
    async for message in client.export(**request):
        stream.take(message)
    stream.check(text=request["format"] != "EXPORT_FORMAT_CONTACTS")
    return stream


@pytest.fixture
def small_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages of a few records, so that a small export has many tokens."""
    monkeypatch.setattr(limits, "EXPORT_MESSAGE_BYTES", 1500)
    monkeypatch.setattr(limits, "EXPORT_FIRST_MESSAGE_BYTES", 300)


@pytest.mark.usefixtures("small_messages")
@pytest.mark.parametrize("shape", SHAPES, ids=names)
async def test_every_token_continues_the_file(
    shape: dict[str, Any], server: Server, client: Client, account: str
) -> None:
    """First part + rest = the uninterrupted file, byte for byte, from every message; all proofs hold."""
    await fill(server.store, account, count=60)
    whole = await run(client, **shape)
    assert whole.summary
    assert whole.summary.complete
    assert len(whole.tokens) > 5
    for token, size, count in whole.tokens:
        rest = await run(client, resume_token=token, **shape)
        assert whole.data[:size] + rest.data == whole.data
        assert whole.contacts[:count] + rest.contacts == whole.contacts
        assert rest.summary
        assert rest.summary.complete
        assert rest.summary.total_records == whole.summary.records
        assert rest.summary.total_bytes == whole.summary.bytes


@pytest.mark.usefixtures("small_messages")
@pytest.mark.parametrize("shape", SHAPES, ids=names)
async def test_max_records_makes_parts_that_are_files_of_their_own(
    shape: dict[str, Any], server: Server, client: Client, account: str
) -> None:
    """Each part is closed and has its own beginning; together they hold everything once."""
    people = await fill(server.store, account, count=60)
    parts, token = [], ""
    while True:
        part = await run(client, max_records="17", resume_token=token, **shape)
        parts.append(part)
        assert part.summary
        assert part.summary.total_records == sum(each.records for each in parts)
        if part.summary.complete:
            break
        assert part.records == 17
        token = part.summary.next_part_token
    whole = await run(client, **shape)
    assert sum(part.records for part in parts) == whole.records <= len(people)
    opening, closing = edges(shape)
    for part in parts:
        assert part.data.startswith(opening)
        assert part.data.endswith(closing)
    if not opening:
        assert b"".join(part.data for part in parts) == whole.data


def edges(shape: dict[str, Any]) -> tuple[bytes, bytes]:
    match shape["format"]:
        case "EXPORT_FORMAT_JSON":
            return b"[\n{", b"}\n]\n"
        case "EXPORT_FORMAT_CSV":
            return (b"\xef\xbb\xbfid," if "csv" in shape else b"id,"), b"\r\n"
    return b"", b""


@pytest.mark.usefixtures("small_messages")
@pytest.mark.parametrize("shape", SHAPES, ids=names)
async def test_a_part_resumes_to_the_same_part(
    shape: dict[str, Any], server: Server, client: Client, account: str
) -> None:
    """max_records counts the records of the file: a resumed part ends where the uninterrupted one does."""
    await fill(server.store, account, count=60)
    whole = await run(client, max_records="25", **shape)
    assert whole.summary
    for token, size, count in whole.tokens:
        rest = await run(client, max_records="25", resume_token=token, **shape)
        assert whole.data[:size] + rest.data == whole.data
        assert whole.contacts[:count] + rest.contacts == whole.contacts
        assert rest.summary
        assert rest.summary.next_part_token != ""
        following = await run(client, resume_token=rest.summary.next_part_token, **shape)
        assert following.records + whole.records == following.summary.total_records  # type: ignore[union-attr]


@pytest.mark.parametrize("shape", SHAPES[:5], ids=names[:5])
async def test_a_large_export_resumes_from_anywhere(
    shape: dict[str, Any], server: Server, client: Client, account: str
) -> None:
    """At random tokens of an export of many messages of full size, too, after breaks in a row."""
    await fill(server.store, account, count=5000, size=600)
    whole = await run(client, **shape)
    assert whole.records == 5000
    dice = random.Random(5)  # noqa: S311 (a fixed seed)
    for token, size, count in dice.sample(whole.tokens, 3):
        rest = await run(client, resume_token=token, **shape)
        assert whole.data[:size] + rest.data == whole.data
        assert whole.contacts[:count] + rest.contacts == whole.contacts


@pytest.mark.usefixtures("small_messages")
@pytest.mark.parametrize("shape", SHAPES, ids=names)
async def test_a_replica_without_the_compiled_part_continues_the_file(
    shape: dict[str, Any], server: Server, client: Client, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that has it continues the file of one that has not: byte for byte."""
    await fill(server.store, account, count=60)
    whole = await run(client, **shape)
    monkeypatch.setattr(server.store, "_transcoder", other_way(server.store._transcoder))
    for token, size, count in whole.tokens:
        rest = await run(client, resume_token=token, **shape)
        assert whole.data[:size] + rest.data == whole.data
        assert whole.contacts[:count] + rest.contacts == whole.contacts


def other_way(transcoder: Transcoder) -> Transcoder:
    if not transcode.IS_NATIVE:
        pytest.skip("the compiled part is not built")
    return transcode.Python() if isinstance(transcoder, transcode.Native) else transcode.Native()


@pytest.mark.parametrize("shape", SHAPES[:5], ids=names[:5])
async def test_an_empty_export_is_a_whole_file(shape: dict[str, Any], client: Client) -> None:
    """Nothing matches: `[]`, a CSV header, or no text; complete, with the proof of it."""
    empty = await run(client, **shape)
    expected = {"EXPORT_FORMAT_JSON": b"[]\n", "EXPORT_FORMAT_CSV": edges(shape)[0]}
    assert empty.data.startswith(expected.get(shape["format"], b""))
    assert empty.records == 0
    assert empty.summary
    assert empty.summary.complete
    for token, size, _ in empty.tokens:
        rest = await run(client, resume_token=token, **shape)
        assert empty.data[:size] + rest.data == empty.data


@pytest.mark.parametrize(
    "other",
    [
        {"format": "EXPORT_FORMAT_JSON"},
        {"format": "EXPORT_FORMAT_CSV", "csv": {"bom": True}},
        {"format": "EXPORT_FORMAT_CSV", "csv": {"cells": "CSV_CELLS_RAW"}},
        {"format": "EXPORT_FORMAT_CSV", "order": "CONTACT_ORDER_NEWEST_FIRST"},
        {"format": "EXPORT_FORMAT_CSV", "filter": {"trusted": True}},
    ],
)
async def test_a_token_belongs_to_its_file(
    other: dict[str, Any], server: Server, client: Client, account: str
) -> None:
    """Another format, csv option, order or filter is PAGE_TOKEN_MISMATCH."""
    await fill(server.store, account, count=3)
    [(token, *_), *_] = (await run(client, format="EXPORT_FORMAT_CSV")).tokens
    failed = await client.failure("ExportContacts", resume_token=token, **other)
    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_MISMATCH")


async def test_csv_defaults_are_the_named_options(server: Server, client: Client, account: str) -> None:
    """SAFE named and SAFE by default are one file: their tokens fit each other."""
    await fill(server.store, account, count=3)
    [(token, *_), *_] = (await run(client, format="EXPORT_FORMAT_CSV")).tokens
    named = await run(client, format="EXPORT_FORMAT_CSV", csv={"cells": "CSV_CELLS_SAFE"}, resume_token=token)
    assert named.summary


async def test_every_account_exports_its_own(
    server: Server, channel: grpc.aio.Channel, any_token: str, account: str
) -> None:
    """Two accounts with the same people: each export has its own ids only."""
    for name in (account, account + "-b"):
        await fill(server.store, name, count=5)
    streams = [
        await run(Client(channel, any_token, name), format="EXPORT_FORMAT_CONTACTS")
        for name in (account, account + "-b")
    ]
    one, other = ({contact.id for contact in stream.contacts} for stream in streams)
    assert len(one) == len(other) == 5
    assert not one & other
