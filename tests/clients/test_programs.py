"""The programs in Go and TypeScript: each does its job on the real service, and believes nothing unproven."""

import asyncio
import hashlib
import re
import socket
from pathlib import Path

import grpc
import pytest

from contactservice.v1 import contact_service_pb2 as pb
from service.rpc.server import Server
from tests.client import Client
from tests.clients.between import Between, Lie
from tests.clients.program import GO, ROOT, TYPESCRIPT, Program, build_go, build_typescript, said_by

# The first build fetches and compiles what the programs stand on.
pytestmark = pytest.mark.timeout(300)

BUILDS = {"go": build_go, "typescript": build_typescript}


def text(message: pb.ExportContactsResponse, old: bytes, new: bytes) -> None:
    if message.HasField("data"):
        message.data = message.data.replace(old, new)


def summary(message: pb.ExportContactsResponse, **wrong: int) -> None:
    if message.HasField("summary"):
        for name, value in wrong.items():
            setattr(message.summary, name, value)


# What is done to the messages of an export, by what the programs say to it.
LIES: dict[str, Lie] = {
    "the export ended without a summary": lambda message: message.ClearField("summary"),
    "the summary does not call the export complete": lambda message: summary(message, complete=False),
    "1 records came, the summary says 7": lambda message: summary(message, records=7),
    "bytes came, the summary says 7": lambda message: summary(message, bytes=7),
    "the sha256 is not that of the data": lambda message: text(message, b"ann@", b"eve@"),
}


@pytest.fixture(params=BUILDS)
def program(request: pytest.FixtureRequest) -> Program:
    """The client of each language, built; skips where its tools are not installed."""
    return BUILDS[request.param]()


async def test_a_program_does_what_its_line_says(
    program: Program, server: Server, token: str, client: Client
) -> None:
    """One contact, found the second time and at the next run, and the export is what the server sends."""
    await client.create(name="Somebody Else")
    first, again = [await program.run(str(server.address), token) for _ in range(2)]
    exported = b"".join([message.data async for message in client.export()])
    [ann], _ = await client.list(filter={"emails": ["ann@example.com"]})
    said = [said_by(ended) for ended in (first, again)]
    assert [(line["id"], line["first"]) for line in said] == [(ann.id, "true"), (ann.id, "false")]
    for line in said:
        assert line["records"] == "2"
        assert line["bytes"] == str(len(exported))
        assert line["sha256"] == hashlib.sha256(exported).hexdigest()


async def test_a_failed_call_is_told_with_its_reason(program: Program, server: Server) -> None:
    """Code, reason and sentence are on stderr, nothing on stdout, and the exit code is 1."""
    ended = await program.run(str(server.address), "nonsense")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("UNAUTHENTICATED CREDENTIALS_INVALID: ")


async def test_a_token_is_needed(program: Program, server: Server) -> None:
    """Without one nothing is called, and the variable is named."""
    ended = await program.run(str(server.address), "")
    assert ended.code == 1
    assert "CONTACTSERVICE_TOKEN is not set" in ended.err


async def test_a_replica_that_leaves_is_not_noticed(
    program: Program, channel: grpc.aio.Channel, token: str
) -> None:
    """A call that is answered UNAVAILABLE is tried again, as the README's service config has it."""
    leaving = Between(channel, refusals=2)
    async with leaving.serve() as address:
        said_by(await program.run(address, token))
    assert leaving.asked == {"EnsureContact": 4, "GetContact": 4, "ListContacts": 3, "ExportContacts": 3}


async def test_a_replica_is_waited_for(program: Program, channel: grpc.aio.Channel, token: str) -> None:
    """Calls outlast a time in which nobody serves, longer than all retries take."""
    with socket.create_server(("127.0.0.1", 0)) as refusing:
        address = f"127.0.0.1:{refusing.getsockname()[1]}"
        running = asyncio.create_task(program.run(address, token))
        await refuse(refusing, 3)
    async with Between(channel).serve(address):
        said_by(await running)


@pytest.mark.parametrize("told", LIES)
async def test_what_is_not_proven_is_not_believed(
    program: Program, channel: grpc.aio.Channel, token: str, told: str
) -> None:
    """An export that lacks something, or is not what its summary says, ends the program with 1, and why."""
    async with Between(channel, lie=LIES[told]).serve() as address:
        ended = await program.run(address, token)
    assert (ended.code, ended.out) == (1, "")
    assert told in ended.err


@pytest.mark.parametrize("folder", [GO, TYPESCRIPT], ids=lambda folder: folder.name)
def test_the_service_config_is_the_documented_one(folder: Path) -> None:
    """What the README says to give the channel is what the programs give it."""
    [documented] = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert (folder / "service_config.json").read_text() == documented


async def refuse(listening: socket.socket, times: int) -> None:
    listening.settimeout(30)
    for _ in range(times):
        connection, _ = await asyncio.to_thread(listening.accept)
        connection.close()
