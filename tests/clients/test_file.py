"""Exports into a file: there when it is whole and proven, and continued after any end."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contactservice import AsyncContactClient, ContactServiceError, ExportIncomplete
from service.domain.errors import ScopeMissing
from service.rpc.server import Server
from tests.clients.either import Either
from tests.clients.scripted import scripted
from tests.clients.test_export import DATA, HEADER, part, summary
from tests.people import fill


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("text_format", ["JSONL", "JSON", "CSV"])
async def test_a_file_is_what_the_stream_is(
    contacts: Either, server: Server, account: str, tmp_path: Path, text_format: Any
) -> None:
    """Byte for byte, with nothing left beside it; an older file of the name is replaced."""
    people = await fill(server.store, account, count=2000)
    file = tmp_path / "people"
    file.write_text("old")
    proof = await contacts.export_to_file(file, format=text_format)
    assert (proof.records, proof.bytes) == (len(people), file.stat().st_size)
    assert names(tmp_path) == ["people"]


async def test_a_file_goes_on_where_it_broke(kind: Any, tmp_path: Path) -> None:
    """What arrived is kept with its token, what half arrived is not; only the end gives the name."""
    file = tmp_path / "people.jsonl"
    async with scripted(kind, [HEADER, part(0), ScopeMissing("export")]) as (_, contacts):
        with pytest.raises(ContactServiceError):
            await contacts.export_to_file(str(file))
    assert names(tmp_path) == ["people.jsonl.part", "people.jsonl.token"]
    with (tmp_path / "people.jsonl.part").open("ab") as broken:
        broken.write(b"half a message")
    async with scripted(kind, [HEADER, part(1), summary(DATA[1])]) as (script, contacts):
        await contacts.export_to_file(str(file))
        assert script.requests[0].resume_token == "after 0"
    assert file.read_bytes() == b"".join(DATA)
    assert names(tmp_path) == ["people.jsonl"]


async def test_the_note_of_another_export_is_not_continued(kind: Any, tmp_path: Path) -> None:
    """Another filter, format or account begins anew: the halves would not fit."""
    file = tmp_path / "people.jsonl"
    async with scripted(kind, [part(0), ScopeMissing("export")], account="a") as (_, contacts):
        with pytest.raises(ContactServiceError):
            await contacts.export_to_file(file)
    streams = [[part(0), ScopeMissing("export")]] * 2 + [[part(0), part(1), summary(*DATA)]]
    async with scripted(kind, *streams, account="a") as (script, contacts):
        for other in (contacts.for_account("b"), contacts):
            with pytest.raises(ContactServiceError):
                await other.export_to_file(file, trusted=True)
        await contacts.export_to_file(file)
        assert [each.resume_token for each in script.requests] == ["", "", ""]
    assert file.read_bytes() == b"".join(DATA)


async def test_a_part_without_its_note_or_shorter_than_it_begins_anew(kind: Any, tmp_path: Path) -> None:
    """Neither says what is good."""
    file, note = tmp_path / "people", tmp_path / "people.token"
    good = [[part(0), part(1), summary(*DATA)]]
    for broken in (
        note.unlink,
        lambda: note.write_text("{"),
        lambda: (tmp_path / "people.part").write_text(""),
    ):
        async with scripted(kind, [part(0), ScopeMissing("export")], *good) as (script, contacts):
            with pytest.raises(ContactServiceError):
                await contacts.export_to_file(file)
            broken()
            await contacts.export_to_file(file)
            assert script.requests[1].resume_token == ""
        assert file.read_bytes() == b"".join(DATA)


async def test_a_file_that_is_not_proven_does_not_get_its_name(kind: Any, tmp_path: Path) -> None:
    """A stream that says something else, or a part that somebody has written into."""
    file = tmp_path / "people"
    async with scripted(kind, [part(0), part(1), summary(*DATA, sha256="00")]) as (_, contacts):
        with pytest.raises(ExportIncomplete):
            await contacts.export_to_file(file)
    note = json.loads((tmp_path / "people.token").read_text())
    (tmp_path / "people.token").write_text(json.dumps({**note, "bytes": note["bytes"] - 2}))
    async with scripted(kind, [summary()]) as (_, contacts):
        with pytest.raises(ExportIncomplete, match=r"has 20 bytes, the summary says 22; remove it"):
            await contacts.export_to_file(file)
    assert not file.exists()


async def test_a_cancelled_export_is_kept(
    server: Server, any_token: str, account: str, tmp_path: Path
) -> None:
    """Whatever was under way then: the file is continued, and is the one of an uninterrupted run."""
    people = await fill(server.store, account, count=10_000, size=1000)
    settings: dict[str, Any] = {"token": any_token, "account": account, "insecure": True}
    async with AsyncContactClient(str(server.address), **settings) as contacts:
        whole = await contacts.export_to_file(tmp_path / "whole")
        broken = asyncio.create_task(contacts.export_to_file(tmp_path / "broken"))
        async with asyncio.timeout(30):
            while not (tmp_path / "broken.token").exists():
                await asyncio.sleep(0)
        broken.cancel()
        with pytest.raises(asyncio.CancelledError):
            await broken
        assert not (tmp_path / "broken").exists()
        rest = await contacts.export_to_file(tmp_path / "broken")
    assert (whole.records, rest.total_records) == (len(people), len(people))
    assert rest.records < whole.records
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()
    assert names(tmp_path) == ["broken", "whole"]


async def test_messages_are_no_file(kind: Any, tmp_path: Path) -> None:
    """Refused before anything is asked or written."""
    async with scripted(kind) as (_, contacts):
        with pytest.raises(ValueError, match="messages are no text"):
            await contacts.export_to_file(tmp_path / "people", format="CONTACTS")
    assert names(tmp_path) == []


async def test_a_killed_command_goes_on_where_it_was(
    server: Server, any_token: str, account: str, tmp_path: Path
) -> None:
    """Kill -9 in the middle, the same command again: the file of an uninterrupted run, alone."""
    await fill(server.store, account, count=20_000, size=1000)
    command = [
        *(sys.executable, "-m", "contactservice.cli", "export", "--address", str(server.address)),
        *("--account", account, "--token", any_token, "--output"),
    ]
    whole, file, note = tmp_path / "whole", tmp_path / "broken", tmp_path / "broken.token"
    assert await asyncio.to_thread(subprocess.call, [*command, whole]) == 0
    process = await asyncio.to_thread(subprocess.Popen, [*command, file])
    async with asyncio.timeout(30):
        while not note.exists():
            await asyncio.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.wait)
    assert not file.exists()
    assert await asyncio.to_thread(subprocess.call, [*command, file]) == 0
    assert file.read_bytes() == whole.read_bytes()
    assert names(tmp_path) == ["broken", "whole"]
