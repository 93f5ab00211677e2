"""The example that exports into a file: as a pipeline runs it, killed and taken up again."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.rpc import token_file
from service.rpc.auth import SCOPES
from service.rpc.server import Server
from tests.client import Client
from tests.people import fill, fill_database
from tests.process import ServiceProcess
from tests.rpc.serving import serving
from tests.storage.proxy import Proxy, proxied

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "export_file.py"
FORMATS = ("JSONL", "JSON", "CSV")


class Export:
    """One run of the script, for one account."""

    def __init__(self, address: object, token: Path, file: Path, *more: str) -> None:
        options = ("--address", str(address), "--token-file", token, *more)
        command = [sys.executable, SCRIPT, *options, file]
        self.note = file.with_name(file.name + ".token")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    async def ended(self) -> tuple[int, str]:
        said, complained = await asyncio.to_thread(self.process.communicate, timeout=60)
        return self.process.returncode, said + complained

    async def complains(self) -> str:
        """Its next complaint."""
        assert self.process.stderr
        async with asyncio.timeout(50):
            return await asyncio.to_thread(self.process.stderr.readline)

    async def is_in_the_middle(self) -> None:
        async with asyncio.timeout(30):
            while not self.note.exists() or json.loads(self.note.read_text())["size"] < 1_000_000:
                await asyncio.sleep(0.002)

    async def broken(self, by: signal.Signals = signal.SIGKILL) -> tuple[int, str]:
        """The same, ended in the middle."""
        await self.is_in_the_middle()
        self.process.send_signal(by)
        return await self.ended()


class Line(Proxy):
    """Between service and script: breaks each connection after so many bytes, or changes bytes."""

    breaks_after = 2**40
    change = (b"", b"")

    async def bring_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came = 0
        while came < self.breaks_after and (message := await reader.read(65536)):
            came += len(message)
            writer.write(message.replace(*self.change) if self.change[0] else message)
        writer.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def token(tokens: Path, account: str, tmp_path: Path) -> Path:
    """A token of the test's account, in a file."""
    path = tmp_path / "token"
    path.write_text(token_file.add(tokens, account, SCOPES))
    return path


@pytest.fixture
async def whole(server: Server, token: Path, account: str, tmp_path: Path) -> bytes:
    """What there is to export, more than fits between service and script; exported in one go."""
    await fill(server.store, account, count=20_000, size=1000)
    assert (await Export(server.address, token, tmp_path / "whole").ended())[0] == 0
    return (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("text_format", FORMATS)
async def test_a_killed_export_goes_on_where_it_was(
    text_format: str, server: Server, token: Path, account: str, tmp_path: Path
) -> None:
    """Kill -9 in the middle, the same call again: the file of an uninterrupted run, and nothing else left."""
    await fill(server.store, account, count=20_000, size=1000)
    more = ("--format", text_format)
    assert (await Export(server.address, token, tmp_path / "whole", *more).ended())[0] == 0
    await Export(server.address, token, tmp_path / "broken", *more).broken()
    assert not (tmp_path / "broken").exists()
    # What a crash may leave behind the last note.
    with (tmp_path / "broken.part").open("ab") as part:
        part.write(b"half a message")
    code, said = await Export(server.address, token, tmp_path / "broken", *more).ended()
    assert (code, said) == (0, f"20,000 contacts in {tmp_path / 'broken'}, complete and proven\n")
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()
    assert names(tmp_path) == ["broken", "token", "whole"]


async def test_data_that_changed_on_the_way_is_no_export(
    server: Server, token: Path, whole: bytes, tmp_path: Path
) -> None:
    """The proof fails, what had come is deleted, and the next call begins anew and is right."""
    async with proxied(server.address.port, Line) as (line, port):
        line.change = (b"Person 1", b"Person 2")
        code, said = await Export(f"127.0.0.1:{port}", token, tmp_path / "out").ended()
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("not exported: the sha256 is not that of the data; what had come is deleted")
    assert names(tmp_path) == ["token", "whole"]
    assert (await Export(server.address, token, tmp_path / "out").ended())[0] == 0
    assert (tmp_path / "out").read_bytes() == whole


def shortened(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:1000])


def changed(part: Path) -> None:
    part.write_bytes(b"X" + part.read_bytes()[1:])


@pytest.mark.parametrize("harm", [shortened, changed, Path.unlink])
async def test_a_part_that_is_not_as_noted_begins_anew(
    harm: Callable[[Path], None], server: Server, token: Path, whole: bytes, tmp_path: Path
) -> None:
    """Too short, changed or gone: it says so, and the file is that of an uninterrupted run."""
    await Export(server.address, token, tmp_path / "out").broken()
    harm(tmp_path / "out.part")
    code, said = await Export(server.address, token, tmp_path / "out").ended()
    assert code == 0
    assert f"beginning anew: {tmp_path / 'out.part'} is not what" in said
    assert (tmp_path / "out").read_bytes() == whole


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"\xff", b'{"token": "x"}', b'{"token": 5, "bytes": 9}'])
async def test_a_note_that_cannot_be_read_begins_anew(
    note: bytes, server: Server, token: Path, account: str, tmp_path: Path
) -> None:
    """It says so in one sentence, and exports all."""
    await fill(server.store, account, count=3)
    (tmp_path / "out.part").write_bytes(b"something")
    (tmp_path / "out.token").write_bytes(note)
    code, said = await Export(server.address, token, tmp_path / "out").ended()
    first, last = f"beginning anew: {tmp_path / 'out.token'} cannot be read\n", ", complete and proven\n"
    assert (code, said) == (0, f"3 contacts in {tmp_path / 'out'}{last}{first}")
    assert names(tmp_path) == ["out", "token"]


async def test_a_note_of_another_request_begins_anew(
    server: Server, token: Path, whole: bytes, tmp_path: Path
) -> None:
    """Whoever asks for something else under the same name gets that, whole."""
    await Export(server.address, token, tmp_path / "out", "--format", "CSV").broken()
    code, said = await Export(server.address, token, tmp_path / "out").ended()
    assert code == 0
    assert f"beginning anew: {tmp_path / 'out.token'} is of another request" in said
    assert (tmp_path / "out").read_bytes() == whole


@pytest.mark.usefixtures("whole")
async def test_a_token_that_the_service_refuses_is_no_dead_end(
    server: Server, token: Path, tokens: Path, account: str, tmp_path: Path
) -> None:
    """As another account's: the call says what the service says, and the next one begins anew."""
    await Export(server.address, token, tmp_path / "out").broken()
    token.write_text(token_file.add(tokens, f"{account}-b", SCOPES))
    code, said = await Export(server.address, token, tmp_path / "out").ended()
    assert code == 1
    assert "INVALID_ARGUMENT: resume_token: belongs to another request" in said
    assert said.endswith("the next call begins anew\n")
    code, said = await Export(server.address, token, tmp_path / "out").ended()
    assert (code, said) == (0, f"0 contacts in {tmp_path / 'out'}, complete and proven\n")


async def test_a_refused_export_says_why_and_leaves_no_file(
    server: Server, token: Path, tmp_path: Path
) -> None:
    """An error that would come again ends the script with the sentence of the service."""
    refused = Export(server.address, token, tmp_path / "out", "--filter", '{"metadata": {"a": null}}')
    code, said = await refused.ended()
    assert code == 1
    assert "INVALID_ARGUMENT: filter.metadata: null" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--filter", "{"), "not exported: --filter is no ContactFilter: "),
        (("--filter", '{"trust": true}'), "not exported: --filter is no ContactFilter: "),
        (("--token-file", "nowhere"), "not exported: [Errno 2] No such file or directory: 'nowhere'"),
    ],
    ids=str,
)
async def test_a_wrong_option_is_told_in_a_sentence(
    more: tuple[str, ...], sentence: str, token: Path, tmp_path: Path
) -> None:
    """Before anything is asked, and without a traceback."""
    code, said = await Export("127.0.0.1:9", token, tmp_path / "out", *more).ended()
    assert code == 1
    assert said.startswith(sentence)
    assert said.count("\n") == 1
    assert names(tmp_path) == ["token"]


async def test_ctrl_c_is_told_in_a_sentence(
    server: Server, token: Path, whole: bytes, tmp_path: Path
) -> None:
    """And the same call again goes on."""
    ended = await Export(server.address, token, tmp_path / "out").broken(by=signal.SIGINT)
    assert ended == (1, "not exported: interrupted; call again to go on\n")
    code, said = await Export(server.address, token, tmp_path / "out").ended()
    assert (code, "anew" in said) == (0, False)
    assert (tmp_path / "out").read_bytes() == whole


async def test_as_long_as_something_comes_it_goes_on(
    server: Server, token: Path, whole: bytes, tmp_path: Path
) -> None:
    """A line that breaks more often than it tries in vain still brings the whole file."""
    async with proxied(server.address.port, Line) as (line, port):
        line.breaks_after = 3_000_000
        code, said = await Export(f"127.0.0.1:{port}", token, tmp_path / "out").ended()
    assert code == 0
    assert said.count("; going on in ") > 5
    assert (tmp_path / "out").read_bytes() == whole


async def test_a_service_that_is_not_there_ends_it(token: Path, tmp_path: Path) -> None:
    """After five attempts, with a sentence."""
    code, said = await Export("127.0.0.1:9", token, tmp_path / "out").ended()
    assert (code, said.count("UNAVAILABLE")) == (1, 5)
    assert said.endswith("to go on\n")


async def test_a_peer_that_falls_silent_is_noticed(
    tmp_path: Path, on_the_sessions_database: list[str], mongodb_uri: str, token: Path, account: str
) -> None:
    """Its connection is given up without its word, and when it is back the export goes on."""
    await fill_database(mongodb_uri, "processes", [account], count=20_000, size=1000)
    with ServiceProcess(tmp_path / "service", *on_the_sessions_database) as service:
        export = Export(service.address, token, tmp_path / "out", "--patience", "1")
        await export.is_in_the_middle()
        service.process.send_signal(signal.SIGSTOP)
        try:
            noticed = await export.complains()
        finally:
            service.process.send_signal(signal.SIGCONT)
        code, said = await export.ended()
    assert noticed.startswith("UNAVAILABLE: ")
    assert code == 0
    assert said.startswith("20,000 contacts")


async def test_it_comes_back_when_it_is_told_to(
    mongodb_uri: str, tokens: Path, token: Path, any_token: str, account: str, tmp_path: Path
) -> None:
    """Refused for want of a slot it waits as long as the service says, and then gets it."""
    async with serving(mongodb_uri, tokens=tokens, export_slots_per_account=1) as (server, channel):
        await fill(server.store, account, count=6000, size=2000)
        running = Client(channel, any_token, account).export()
        await running.read()
        export = Export(server.address, token, tmp_path / "out")
        assert (await export.complains()).endswith("; going on in 1.0 s\n")
        running.cancel()
        code, said = await export.ended()
    assert (code, said) == (0, f"6,000 contacts in {tmp_path / 'out'}, complete and proven\n")


async def test_it_does_not_wait_for_an_hour(
    mongodb_uri: str, tokens: Path, token: Path, tmp_path: Path
) -> None:
    """It says when to come back instead."""
    async with serving(mongodb_uri, tokens=tokens, rate_exports="1/h") as (server, _):
        assert (await Export(server.address, token, tmp_path / "first").ended())[0] == 0
        code, said = await Export(server.address, token, tmp_path / "second").ended()
        assert server.limits.refusals["rate_exports"] == 1
    assert code == 1
    assert "call again in 3,5" in said
