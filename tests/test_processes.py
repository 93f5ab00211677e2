"""Several processes on one database: races, crashes, restarts, and an orderly end."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from tests.client import Client
from tests.people import fill_database
from tests.process import ServiceProcess, eventually, flags

pytestmark = pytest.mark.timeout(120)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def pair(tmp_path: Path, mongodb_uri: str, tokens: Path, any_token: str) -> Iterator[list[ServiceProcess]]:  # noqa: ARG001
    with (
        ServiceProcess(tmp_path / "one", *flags(mongodb_uri, tokens)) as one,
        ServiceProcess(tmp_path / "two", *flags(mongodb_uri, tokens)) as two,
    ):
        yield [one, two]


async def test_a_race_through_two_processes_makes_one_contact(
    pair: list[ServiceProcess], any_token: str, account: str
) -> None:
    """64 concurrent Ensures on a new key, half through each replica: one contact, one created."""
    async with (
        grpc.aio.insecure_channel(pair[0].address) as first,
        grpc.aio.insecure_channel(pair[1].address) as second,
    ):
        clients = [Client(channel, any_token, account) for channel in (first, second)]
        for person in ({"fingerprint": "oauth|1"}, {"name": "Ann Lee", "email": "ann@example.com"}):
            found = await asyncio.gather(*(clients[number % 2].ensure(**person) for number in range(64)))
            assert len({contact.id for contact, _ in found}) == 1
            assert sum(created for _, created in found) == 1


async def test_tokens_work_on_another_replica_and_after_a_restart(
    pair: list[ServiceProcess], any_token: str, account: str, tmp_path: Path, mongodb_uri: str, tokens: Path
) -> None:
    """A page token made by one process is good in the other, and in one that starts later."""
    async with grpc.aio.insecure_channel(pair[0].address) as channel:
        client = Client(channel, any_token, account)
        ids = [(await client.create()).id for _ in range(3)]
        [newest], token = await client.list(page_size=1)
    assert newest.id == ids[-1]
    pair[0].kill()
    with ServiceProcess(tmp_path / "three", *flags(mongodb_uri, tokens)) as third:
        for process in (pair[1], third):
            async with grpc.aio.insecure_channel(process.address) as channel:
                page, _ = await Client(channel, any_token, account).list(page_size=2, page_token=token)
                assert [contact.id for contact in page] == ids[1::-1]


async def test_an_export_goes_on_through_another_replica(
    pair: list[ServiceProcess], any_token: str, account: str
) -> None:
    """A resume token of one process continues the file in the other, byte for byte."""
    async with (
        grpc.aio.insecure_channel(pair[0].address) as first,
        grpc.aio.insecure_channel(pair[1].address) as second,
    ):
        client, other = (Client(channel, any_token, account) for channel in (first, second))
        for number in range(60):
            await client.create(description=str(number) * 400)
        whole = [message async for message in client.export()]
        data = b"".join(message.data for message in whole)
        rest = [message async for message in other.export(resume_token=whole[1].resume_token)]
        assert len(whole) > 3
        assert whole[1].data + b"".join(message.data for message in rest) == data


@pytest.mark.parametrize("victim", ["service", "database"])
async def test_no_acknowledged_write_is_lost_by_a_kill(victim: str, tmp_path: Path) -> None:
    """Kill -9 of service or database in the middle of writes: what was acknowledged is there afterwards."""
    acknowledged: list[str] = []

    async def write(process: ServiceProcess) -> None:
        async with grpc.aio.insecure_channel(process.address) as channel:
            client = Client(channel, token, None)
            while True:
                contact = await client.create(name="x")
                acknowledged.append(contact.id)

    with ServiceProcess(tmp_path) as process:
        token = (tmp_path / "data" / "dev-token").read_text()
        writers = [asyncio.create_task(write(process)) for _ in range(8)]
        while len(acknowledged) < 50:
            await asyncio.sleep(0.01)
        if victim == "service":
            process.kill()
        else:
            os.kill(mongod_of(process), signal.SIGKILL)
        # A database that is back soon enough lets writers live, and acknowledges again.
        again = len(acknowledged) + 50
        while len(acknowledged) < again and not all(writer.done() for writer in writers):
            await asyncio.sleep(0.01)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        process.kill()
    with ServiceProcess(tmp_path) as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            client = Client(channel, token, None)
            kept = set()
            async for part in client.export(format="EXPORT_FORMAT_CONTACTS"):
                kept.update(contact.id for contact in part.contacts.contacts)
    assert set(acknowledged) <= kept


async def test_a_killed_own_database_comes_back(tmp_path: Path) -> None:
    """The service starts its own mongod again, and serves on without a restart of its own."""
    with ServiceProcess(tmp_path) as process:
        token = (tmp_path / "data" / "dev-token").read_text()
        async with grpc.aio.insecure_channel(process.address) as channel:
            client = Client(channel, token, None)
            before = await client.create(name="before")
            os.kill(mongod_of(process), signal.SIGKILL)
            async with asyncio.timeout(30):
                while True:
                    try:
                        assert (await client.get(before.id)).name == "before"
                        break
                    except grpc.aio.AioRpcError as error:
                        assert error.code().name in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


def mongod_of(process: ServiceProcess) -> int:
    [pid] = children(process.process.pid)
    return pid


def test_a_killed_service_leaves_no_database_behind(tmp_path: Path) -> None:
    """Kill -9 of the service takes its mongod with it."""
    with ServiceProcess(tmp_path) as process:
        pid = mongod_of(process)
        process.kill()
        eventually(lambda: not alive(pid))


async def test_sigterm_ends_calls_under_way_and_then_the_process(tmp_path: Path) -> None:
    """After SIGTERM a running call still gets its answer; then exit code 0, and no mongod is left."""
    with ServiceProcess(tmp_path) as process:
        pid = mongod_of(process)
        token = (tmp_path / "data" / "dev-token").read_text()
        async with grpc.aio.insecure_channel(process.address) as channel:
            client = Client(channel, token, None)
            await client.create()
            calls = [asyncio.ensure_future(client.create(name="under way")) for _ in range(64)]
            await asyncio.sleep(0.01)
            process.process.send_signal(signal.SIGTERM)
            ends = await asyncio.gather(*calls, return_exceptions=True)
        assert not [end for end in ends if isinstance(end, BaseException) and not refused(end)]
        assert await asyncio.to_thread(process.process.wait, 30) == 0
        assert not alive(pid)


def refused(end: BaseException) -> bool:
    return isinstance(end, grpc.aio.AioRpcError) and end.code() is grpc.StatusCode.UNAVAILABLE


def test_the_ready_file_tells_where_and_holds_no_credential(tmp_path: Path) -> None:
    """Address, database and pid stand in the ready file, and nothing that opens a door."""
    with ServiceProcess(tmp_path) as process:
        assert process.facts.keys() == {"address", "ops_address", "mongodb_uri", "database", "pid"}
        assert process.facts["pid"] == process.process.pid
        assert (tmp_path / "data" / "dev-token").read_text() not in process.ready_file.read_text()


async def test_a_stalled_reader_costs_a_few_mebibytes(
    pair: list[ServiceProcess], mongodb_uri: str, any_token: str, account: str
) -> None:
    """Sixteen readers that take nothing cost at most 8 MiB each, whatever there is to export."""
    process = pair[0]
    accounts = [f"{account}-{number}" for number in range(4)]
    await fill_database(mongodb_uri, "processes", accounts, count=6000, size=2000)
    before = resident(process.process.pid)
    async with AsyncExitStack() as channels:
        for number in range(16):
            channel = await channels.enter_async_context(grpc.aio.insecure_channel(process.address))
            await Client(channel, any_token, accounts[number % 4]).export().read()
        await settled(process.process.pid)
        assert resident(process.process.pid) - before <= 16 * 8


async def settled(pid: int) -> None:
    """Returns when the process has used next to no processor time for half a second."""
    used = -1.0
    while (now := cpu_seconds(pid)) - used > 0.02:
        used = now
        await asyncio.sleep(0.5)


def cpu_seconds(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def test_logs_hold_nothing_of_a_person(tmp_path: Path) -> None:
    """One line a call with method, code and time; no field of a contact, also not of a call that fails."""
    secret = "canary-7f3a"
    with ServiceProcess(tmp_path, "--log-level", "debug") as process:
        token = (tmp_path / "data" / "dev-token").read_text()
        async with grpc.aio.insecure_channel(process.address) as channel:
            client = Client(channel, token, None)
            await client.create(fingerprint=secret, name=secret, metadata={secret: secret})
            other = await client.create(fingerprint="other")
            taken = await client.failure("UpdateContact", contact={"id": other.id, "fingerprint": secret})
            assert taken.reason == "FINGERPRINT_TAKEN"
            await client.failure("CreateContact", contact={"email": secret * 100})
            await client.failure("GetContact", id=secret)
        eventually(lambda: process.log.count("call method=") == 5)
        assert process.log.count("call method=CreateContact") == 3
        assert "reason=FINGERPRINT_TAKEN" in process.log
        assert secret not in process.log
        assert token.strip() not in process.log
