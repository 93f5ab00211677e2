"""Exports through the clients: whole, resumed by themselves, and believed only with their proof."""

import asyncio
import hashlib
import json
import math
from typing import Any

import grpc
import pytest

from contactservice import ContactServiceError, ExportIncomplete, ServiceUnavailable
from contactservice._errors import Details
from contactservice._patience import STREAM_ATTEMPTS, StreamPatience
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.export_pb2 import CSV_CELLS_RAW, CsvOptions
from service.domain.errors import (
    ExportSlotsFull,
    RateLimited,
    ReaderStalled,
    ScopeMissing,
    ShuttingDown,
    StoreTimeout,
)
from service.rpc.server import Server
from tests.clients.either import Either, collected, steps
from tests.clients.scripted import scripted
from tests.people import fill
from tests.storage.proxy import proxied

DATA = (b'{"id":"a"}\n', b'{"id":"b"}\n')


def part(number: int) -> pb.ExportContactsResponse:
    return pb.ExportContactsResponse(data=DATA[number], record_count=1, resume_token=f"after {number}")


def summary(*parts: bytes, **changes: Any) -> pb.ExportContactsResponse:
    """That of a stream with these parts, after all that come before in DATA."""
    text, whole = b"".join(parts), b"".join(DATA)
    facts = {
        "records": len(parts),
        "bytes": len(text),
        "sha256": hashlib.sha256(text).hexdigest(),
        "complete": True,
        "total_records": len(DATA),
        "total_bytes": len(whole),
    }
    return pb.ExportContactsResponse(summary={**facts, **changes})


HEADER = pb.ExportContactsResponse(header={"content_type": "application/jsonl"})


async def test_an_export_has_every_contact(contacts: Either, server: Server, account: str) -> None:
    """As text in all formats, and as messages, with the proof in the summary."""
    people = await fill(server.store, account, count=3000)
    export = contacts.client.export()
    text = b"".join(part.data for part in await collected(export))
    assert [json.loads(line)["id"] for line in text.splitlines()] == [person.id for person in people]
    assert (export.records, export.bytes) == (3000, len(text))
    assert export.proven().sha256 == hashlib.sha256(text).hexdigest()
    assert export.header.content_type.startswith("application/")
    lines = b"".join(await collected(contacts.client.export(format="CSV").text())).split(b"\r\n")
    assert len(lines) == 3002
    newest = contacts.client.export(format="CONTACTS", order="NEWEST_FIRST", trusted=True).contacts()
    assert [contact.id for contact in await collected(newest)] == [p.id for p in people[::-1] if p.trusted]


async def test_an_export_in_parts(contacts: Either, server: Server, account: str) -> None:
    """`max_records` ends one, `next_part_token` begins the next."""
    await fill(server.store, account, count=10)
    first = contacts.client.export(format="CSV", max_records=6, csv=CsvOptions(cells=CSV_CELLS_RAW, bom=True))
    await collected(first)
    assert not first.proven().complete
    rest = contacts.client.export(
        format="CSV",
        csv=CsvOptions(cells=CSV_CELLS_RAW, bom=True),
        resume_token=first.proven().next_part_token,
    )
    text = b"".join([part.data for part in await collected(rest)])
    assert (rest.records, rest.proven().total_records) == (4, 10)
    assert text.startswith(b"\xef\xbb\xbfid,")


async def test_a_broken_connection_is_not_noticed(
    kind: Any, server: Server, any_token: str, account: str
) -> None:
    """Cut in the middle, the export goes on at the last message: the same bytes as without the cut."""
    await fill(server.store, account, count=20_000, size=1000)
    settings: dict[str, Any] = {"token": any_token, "account": account, "insecure": True}
    whole = Either(kind(str(server.address), **settings))
    expected = hashlib.sha256()
    for each in await collected(whole.client.export()):
        expected.update(each.data)
    await whole.close()
    async with proxied(server.address.port) as (proxy, port):
        contacts = Either(kind(f"127.0.0.1:{port}", **settings))
        export = contacts.client.export()
        digest, streams = hashlib.sha256(), 0
        async for each in steps(export):
            digest.update(each.data)
            streams += 1
            if streams == 4:
                proxy.cut()
        assert digest.digest() == expected.digest()
        assert export.proven().records < export.records == 20_000
        await contacts.close()


@pytest.mark.parametrize(
    "error",
    [ShuttingDown(), ReaderStalled(30), ExportSlotsFull("full"), StoreTimeout(), OSError("reset")],
    ids=repr,
)
async def test_what_passes_is_waited_for(kind: Any, error: Exception) -> None:
    """The next stream has the last token, and only what comes after it."""
    streams = [HEADER, part(0), error], [HEADER, part(1), summary(DATA[1])]
    async with scripted(kind, *streams) as (script, contacts):
        got = await collected(contacts.client.export(trusted=True))
    assert [each.data for each in got] == [*DATA]
    assert [each.resume_token for each in script.requests] == ["", "after 0"]
    assert all(each.filter.trusted for each in script.requests)


async def test_progress_renews_patience(kind: Any) -> None:
    """An export may break as often as it likes, while something arrives in between."""
    streams: list[list[Any]] = [[HEADER, part(0), ShuttingDown()] for _ in range(STREAM_ATTEMPTS + 1)]
    last = summary(total_records=len(streams), total_bytes=len(streams) * len(DATA[0]))
    async with scripted(kind, *streams, [HEADER, last]) as (_, contacts):
        assert len(await collected(contacts.client.export())) == len(streams)


def test_patience_without_progress_ends() -> None:
    """Eight breaks in one place, a few seconds apart, and then the last error."""
    patience = StreamPatience()
    away = ServiceUnavailable(grpc.StatusCode.UNAVAILABLE, "away", Details())
    pauses = [patience.pause(away) for _ in range(STREAM_ATTEMPTS - 1)]
    assert 8 < sum(pauses) < 20
    with pytest.raises(ServiceUnavailable):
        patience.pause(away)


@pytest.mark.parametrize("error", [ScopeMissing("export"), RateLimited("never", math.inf)], ids=repr)
async def test_what_does_not_pass_is_told(kind: Any, error: Exception) -> None:
    """A scope that is missing is missing the next time, too; so is a refusal without a time to wait."""
    async with scripted(kind, [HEADER, error]) as (script, contacts):
        with pytest.raises(ContactServiceError, match=str(error)):
            await collected(contacts.client.export())
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        ([HEADER, part(0), part(1)], "without a summary"),
        ([HEADER, part(0), part(1), summary(DATA[0])], "records: 2 arrived, the summary says 1"),
        ([HEADER, part(0), part(1), summary(*DATA, bytes=21)], "bytes: 22 arrived, the summary says 21"),
        ([HEADER, part(0), part(1), summary(*DATA, sha256="00")], "SHA-256"),
        ([HEADER, part(0), part(1), summary(*DATA, total_records=3)], "records in all: 2 arrived"),
        ([HEADER, part(0), part(1), summary(*DATA, total_bytes=23)], "bytes in all: 22 arrived"),
        ([HEADER, part(0), part(1), summary(*DATA, complete=False)], "not call the export complete"),
    ],
)
async def test_an_export_that_proves_nothing_is_no_export(
    kind: Any, stream: list[Any], sentence: str
) -> None:
    """No summary, or one that says something else than what arrived."""
    async with scripted(kind, stream) as (_, contacts):
        export = contacts.client.export()
        with pytest.raises(ExportIncomplete, match=sentence):
            await collected(export)
        with pytest.raises(ExportIncomplete):
            export.proven()


async def test_a_summary_is_checked_over_all_streams(kind: Any) -> None:
    """Each stream may be right and a record be lost between them."""
    streams = [part(0), ShuttingDown()], [part(1), summary(DATA[1], total_records=3)]
    async with scripted(kind, *streams) as (_, contacts):
        with pytest.raises(ExportIncomplete, match="records in all: 2 arrived, the summary says 3"):
            await collected(contacts.client.export())


async def test_leaving_an_export_ends_it(server: Server, account: str, contacts: Either) -> None:
    """Whoever stops reading frees the slot of the account at once."""
    await fill(server.store, account, count=6000, size=2000)
    stream = steps(contacts.client.export())
    await anext(stream)
    assert server.export_slots.taken == 1
    await stream.aclose()
    del stream
    async with asyncio.timeout(5):
        while server.export_slots.taken:
            await asyncio.sleep(0.01)
