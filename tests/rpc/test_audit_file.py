"""The audit trail in its file: moved, unwritable, complete after a kill, or among the lines of the log."""

import json
from pathlib import Path

import grpc
import pytest

from service import config as configuration
from service.rpc import token_file
from service.rpc.listening import CannotServe
from service.rpc.server import Server
from tests.client import Client
from tests.process import ServiceProcess, flags
from tests.rpc.serving import serving
from tests.rpc.test_audit import Trail, trail

__all__ = ["trail"]


async def test_a_file_that_is_moved_away_begins_anew(trail: Trail) -> None:
    """As those who rotate logs do it; no line is lost."""
    await trail.client.create()
    moved = trail.path.rename(trail.path.with_suffix(".1"))
    contact = await trail.client.create()
    assert len(moved.read_text().splitlines()) == 1
    assert [line["contact_id"] for line in trail.lines()] == [contact.id]


async def test_a_file_that_cannot_be_written_costs_no_call(
    mongodb_uri: str,
    tokens: Path,
    any_token: str,
    account: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its lines are among the log lines then, with one error every five seconds."""
    path = tmp_path / "folder" / "audit.jsonl"
    path.parent.mkdir()
    async with serving(mongodb_uri, tokens=tokens, audit_file=path) as (_, channel):
        path.rename(tmp_path / "moved")
        path.parent.rmdir()
        path.parent.write_text("a file where the folder was")
        contact, *_ = [await Client(channel, any_token, account).create() for _ in range(3)]
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [
        "the audit file cannot be written"
    ]
    line, *others = [each for each in caplog.records if each.message == "audit"]
    assert len(others) == 2
    assert line.__dict__["contact_id"] == contact.id


def test_a_file_that_cannot_be_written_stops_the_start(
    tmp_path: Path, mongodb_uri: str, tokens: Path
) -> None:
    """With a sentence that names the flag."""
    settings = {"address": "127.0.0.1:0", "tokens": tokens, "audit_file": tmp_path}
    with pytest.raises(CannotServe, match=r"--audit-file .* cannot be written"):
        Server(configuration.load(settings), mongodb_uri, lambda: None)


async def test_a_killed_service_has_told_of_all_that_it_answered(
    tmp_path: Path, mongodb_uri: str, tokens: Path, account: str
) -> None:
    """Kill -9 right after the answer: its line is in the file, which only its user may read."""
    token = token_file.add(tokens, account, ("write",))
    path = tmp_path / "audit.jsonl"
    with ServiceProcess(tmp_path, *flags(mongodb_uri, tokens), "--audit-file", str(path)) as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            contact = await Client(channel, token, None).create()
            process.kill()
    assert [json.loads(line)["contact_id"] for line in path.read_text().splitlines()] == [contact.id]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_without_a_file_it_stands_among_the_lines_whatever_their_level(
    tmp_path: Path, mongodb_uri: str, tokens: Path, account: str
) -> None:
    """The level of the log does not silence who did what."""
    token = token_file.add(tokens, account, ("write",))
    level = ("--log-level", "error", "--log-format", "json")
    with ServiceProcess(tmp_path, *flags(mongodb_uri, tokens), *level) as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            await Client(channel, token, None).create()
    lines = [json.loads(line) for line in process.log.splitlines()]
    assert [(line["event"], line["method"]) for line in lines] == [("audit", "CreateContact")]
