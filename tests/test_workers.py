"""`serve --workers N`: several processes on one port that look like one service."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.rpc.listening import DEV_ACCOUNT
from service.rpc.server import SERVICE
from tests.client import Client
from tests.people import fill_database
from tests.process import ServiceProcess, eventually
from tests.test_processes import alive, children

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]

Health = health_pb2.HealthCheckResponse
# Else all channels of a process to one address share one connection, and so one worker.
OF_ITS_OWN = (("grpc.use_local_subchannel_pool", 1),)
MOST_CONNECTIONS = 64


class Workers(ServiceProcess):
    """`contactservice serve --workers 2`, its log as JSON lines."""

    def __init__(self, folder: Path, *flags: str) -> None:
        super().__init__(folder, "--workers", "2", "--log-format", "json", *flags)

    @property
    def pids(self) -> list[int]:
        return [pid for pid in children(self.process.pid) if b"worker" in command(pid)]

    async def worker_of(self, client: Client) -> int:
        """Who answers this client, by the log, which comes a moment later. No other may list meanwhile."""
        before = len(self._listers())
        await client.list(page_size=1)
        await asyncio.to_thread(eventually, lambda: len(self._listers()) > before)
        return self._listers()[-1]

    def _listers(self) -> list[int]:
        whole, _, _ = self.log.rpartition("\n")
        lines = map(json.loads, whole.splitlines())
        return [int(line["pid"]) for line in lines if line.get("method") == "ListContacts"]


def command(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


@asynccontextmanager
async def one_client_each(
    process: Workers, token: str, account: str | None
) -> AsyncIterator[dict[int, Client]]:
    """A client of each worker, by its pid."""
    async with one_channel_each(process, token, account) as channels:
        yield {pid: Client(channel, token, account) for pid, channel in channels.items()}


@asynccontextmanager
async def one_channel_each(
    process: Workers, token: str, account: str | None
) -> AsyncIterator[dict[int, grpc.aio.Channel]]:
    """A connection to each worker: the kernel chooses, so it is asked until both are met."""
    found: dict[int, grpc.aio.Channel] = {}
    async with AsyncExitStack() as opened:
        for _ in range(MOST_CONNECTIONS):
            channel = grpc.aio.insecure_channel(process.address, options=OF_ITS_OWN)
            await opened.enter_async_context(channel)
            found.setdefault(await process.worker_of(Client(channel, token, account)), channel)
            if len(found) == 2:
                break
        yield found


async def test_two_workers_are_one_service(
    tmp_path: Path, on_the_sessions_database: list[str], any_token: str, account: str
) -> None:
    """On one port: races make one contact, tokens of pages and exports go on at the other worker."""
    with Workers(tmp_path, *on_the_sessions_database) as process:
        async with one_client_each(process, any_token, account) as clients:
            assert sorted(clients) == sorted(process.pids)
            one, other = clients.values()
            await race(one, other)
            await pages(one, other)
            await export(one, other)


async def race(one: Client, other: Client) -> None:
    """64 concurrent Ensures on a new key, half through each worker: one contact, one created."""
    for person in ({"fingerprint": "oauth|1"}, {"name": "Ann Lee", "email": "ann@example.com"}):
        found = await asyncio.gather(*((one, other)[number % 2].ensure(**person) for number in range(64)))
        assert len({contact.id for contact, _ in found}) == 1
        assert sum(created for _, created in found) == 1


async def pages(one: Client, other: Client) -> None:
    first, token = await one.list(page_size=1)
    second, _ = await other.list(page_size=1, page_token=token)
    both, _ = await one.list(page_size=2)
    assert first + second == both


async def export(one: Client, other: Client) -> None:
    for number in range(60):
        await one.create(description=str(number) * 400)
    whole = [message async for message in one.export()]
    rest = [message async for message in other.export(resume_token=whole[1].resume_token)]
    assert len(whole) > 3
    assert b"".join(each.data for each in [whole[1], *rest]) == b"".join(each.data for each in whole)


async def test_a_killed_worker_is_back(
    tmp_path: Path, on_the_sessions_database: list[str], any_token: str, account: str
) -> None:
    """Calls of the other one go on meanwhile, new connections are answered, and both are met again."""
    with Workers(tmp_path, *on_the_sessions_database) as process:
        before = process.facts
        async with one_client_each(process, any_token, account) as clients:
            victim, survivor = clients
            contact = await clients[survivor].create()
            os.kill(victim, signal.SIGKILL)
            await asyncio.to_thread(eventually, lambda: process.log.count('"serving"') == 3)
            assert await clients[survivor].get(contact.id) == contact
        async with one_client_each(process, any_token, account) as clients:
            assert survivor in clients
            assert victim not in clients
            assert [await client.get(contact.id) for client in clients.values()] == [contact] * 2
        assert process.facts == before


async def test_while_a_worker_is_away_the_other_takes_all(
    tmp_path: Path, on_the_sessions_database: list[str], any_token: str, account: str
) -> None:
    """From its death until its successor serves, every new connection is the other's, and is answered."""
    with Workers(tmp_path, *on_the_sessions_database) as process:
        victim, survivor = process.pids
        os.kill(victim, signal.SIGKILL)
        # Said when all of its threads are gone, and so its sockets.
        eventually(lambda: "is started again" in process.log)
        answered = survivor
        while answered == survivor:
            async with grpc.aio.insecure_channel(process.address, options=OF_ITS_OWN) as channel:
                answered = await process.worker_of(Client(channel, any_token, account))
        assert answered in process.pids


async def test_health_is_the_answering_workers_own(
    tmp_path: Path, on_the_sessions_database: list[str], any_token: str, account: str
) -> None:
    """One that drains is not ready and the other one is: a check is true for the worker that answers it."""
    with Workers(tmp_path, *on_the_sessions_database, "--drain-delay", "600") as process:
        async with one_channel_each(process, any_token, account) as channels:
            assert len(channels) == 2
            (leaving, one), (_, other) = channels.items()
            asked = health_pb2.HealthCheckRequest(service=SERVICE.full_name)
            watches = [health_pb2_grpc.HealthStub(channel).Watch(asked) for channel in (one, other)]
            assert [(await watch.read()).status for watch in watches] == [Health.SERVING] * 2
            os.kill(leaving, signal.SIGTERM)
            assert (await watches[0].read()).status == Health.NOT_SERVING
            assert (await health_pb2_grpc.HealthStub(one).Check(asked)).status == Health.NOT_SERVING
            assert (await health_pb2_grpc.HealthStub(other).Check(asked)).status == Health.SERVING
        process.kill()


def test_a_second_signal_kills_workers_that_drain(
    tmp_path: Path, on_the_sessions_database: list[str]
) -> None:
    """At once, with exit code 1 and a sentence; nothing is left."""
    with Workers(tmp_path, *on_the_sessions_database, "--drain-delay", "600") as process:
        pids = process.pids
        process.process.send_signal(signal.SIGTERM)
        eventually(lambda: process.log.count('"draining"') == 3)
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(30) == 1
        assert "2 of 2 workers ended before they had drained" in process.log
        assert not any(map(alive, pids))


def test_a_killed_supervisor_leaves_nothing_behind(tmp_path: Path) -> None:
    """Kill -9 of the supervisor takes workers and mongod with it, within two seconds."""
    with Workers(tmp_path) as process:
        pids = children(process.process.pid)
        assert len(pids) == 3
        process.kill()
        eventually(lambda: not any(map(alive, pids)), 2)


@pytest.mark.parametrize("group", [False, True], ids=["supervisor", "all"])
async def test_sigterm_drains_all(group: bool, tmp_path: Path) -> None:
    """Exports under way at both workers come to their summary; then exit code 0, and nothing is left.

    Also when all are asked to end, as by systemd: workers drain already when their supervisor asks them to.
    """
    with Workers(tmp_path) as process:
        pids = children(process.process.pid)
        async with one_client_each(process, dev_token(tmp_path), None) as clients:
            assert len(clients) == 2
            # More than fits between service and reader.
            uri = process.facts["mongodb_uri"]
            await fill_database(uri, "contactservice", [DEV_ACCOUNT], count=10_000, size=2000)
            exports = [aiter(client.export()) for client in clients.values()]
            assert [(await anext(export)).HasField("header") for export in exports] == [True, True]
            if group:
                for pid in clients:
                    os.kill(pid, signal.SIGTERM)
                eventually(lambda: process.log.count('"draining"') == 2)
            process.process.send_signal(signal.SIGTERM)
            eventually(lambda: process.log.count('"draining"') == 3)
            assert '"event":"call","method":"ExportContacts"' not in process.log
            ends = [[message async for message in export][-1] for export in exports]
            assert [end.summary.records for end in ends] == [10_000, 10_000]
        assert await asyncio.to_thread(process.process.wait, 30) == 0
        assert not any(map(alive, pids))


async def test_a_killed_own_database_comes_back(tmp_path: Path) -> None:
    """The supervisor starts its mongod again, and the same workers serve on."""
    with Workers(tmp_path) as process:
        workers = process.pids
        async with one_client_each(process, dev_token(tmp_path), None) as clients:
            contact = await next(iter(clients.values())).create(name="before")
            [mongod] = set(children(process.process.pid)) - set(workers)
            os.kill(mongod, signal.SIGKILL)
            async with asyncio.timeout(30):
                for client in clients.values():
                    await answered(client, contact.id)
        assert process.pids == workers


async def answered(client: Client, contact_id: str) -> None:
    while True:
        try:
            assert (await client.get(contact_id)).name == "before"
        except grpc.aio.AioRpcError as error:
            assert error.code().name in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
        else:
            return


def test_the_ready_file_is_the_supervisors(tmp_path: Path) -> None:
    """One file when all workers serve, as of one process: its pid is the one to send SIGTERM to."""
    with Workers(tmp_path) as process:
        assert process.facts.keys() == {"address", "ops_address", "mongodb_uri", "database", "pid"}
        assert process.facts["pid"] == process.process.pid
        eventually(lambda: process.log.count('"serving"') == 2)
        assert dev_token(tmp_path) not in process.ready_file.read_text()
        assert dev_token(tmp_path) not in process.log


def test_no_secret_stands_in_an_argument(tmp_path: Path, mongodb_uri: str) -> None:
    """The URI may hold a password: workers get it by their environment, which only their user can read."""
    secret = f"{mongodb_uri}&appname=canary-7f3a"
    with Workers(tmp_path, "--mongodb-uri", secret) as process:
        for pid in process.pids:
            assert not [each for each in command(pid) if b"canary" in each]


def dev_token(folder: Path) -> str:
    return (folder / "data" / "dev-token").read_text()
