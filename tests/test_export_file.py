"""The example that exports into a file: as a pipeline runs it, killed and taken up again."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.rpc import token_file
from service.rpc.auth import SCOPES
from service.rpc.server import Server
from tests.people import fill

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "export_file.py"
FORMATS = ("JSONL", "JSON", "CSV")


class Export:
    """One run of the script, for one account."""

    def __init__(self, server: Server, token: Path, file: Path, *more: str) -> None:
        command = [
            sys.executable,
            SCRIPT,
            "--address",
            str(server.address),
            "--token-file",
            token,
            *more,
            file,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    async def ended(self) -> tuple[int, str]:
        said, complained = await asyncio.to_thread(self.process.communicate, timeout=60)
        return self.process.returncode, said + complained


@pytest.fixture
def token(tokens: Path, account: str, tmp_path: Path) -> Path:
    """A token of the test's account, in a file."""
    path = tmp_path / "token"
    path.write_text(token_file.add(tokens, account, SCOPES))
    return path


@pytest.mark.parametrize("text_format", FORMATS)
async def test_a_killed_export_goes_on_where_it_was(
    text_format: str, server: Server, token: Path, account: str, tmp_path: Path
) -> None:
    """Kill -9 in the middle, the same call again: the file of an uninterrupted run, and nothing else left."""
    await fill(server.store, account, count=20_000, size=1000)
    more = ("--format", text_format)
    assert (await Export(server, token, tmp_path / "whole", *more).ended())[0] == 0
    broken = Export(server, token, tmp_path / "broken", *more)
    note = tmp_path / "broken.token"
    async with asyncio.timeout(30):
        while not note.exists() or json.loads(note.read_text())["bytes"] < 1_000_000:
            await asyncio.sleep(0.002)
    broken.process.send_signal(signal.SIGKILL)
    await broken.ended()
    assert not (tmp_path / "broken").exists()
    # What a crash may leave behind the last note.
    with (tmp_path / "broken.part").open("ab") as part:
        part.write(b"half a message")
    code, said = await Export(server, token, tmp_path / "broken", *more).ended()
    assert (code, said) == (0, f"20,000 contacts in {tmp_path / 'broken'}, complete and proven\n")
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "token", "whole"]


async def test_a_refused_export_says_why_and_leaves_no_file(
    server: Server, token: Path, tmp_path: Path
) -> None:
    """An error that would come again ends the script with the sentence of the service."""
    refused = Export(server, token, tmp_path / "out", "--filter", '{"metadata": {"a": null}}')
    code, said = await refused.ended()
    assert code == 1
    assert "INVALID_ARGUMENT: filter.metadata: null" in said
    assert not (tmp_path / "out").exists()
