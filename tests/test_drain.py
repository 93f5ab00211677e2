"""How the service leaves: says so at once, serves on, ends what is under way so that it goes on elsewhere."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.rpc.server import SERVICE
from service.storage.mongod import EmbeddedMongod
from tests.client import Client, failure
from tests.people import fill_database
from tests.pipe import full_pipe
from tests.process import ServiceProcess, eventually, flags
from tests.rpc.attacks import OPEN, WATCH, stalled
from tests.rpc.frames import Wire
from tests.scrape import get

pytestmark = pytest.mark.timeout(120)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# What an orchestrator that asks for an end is promised.
END_SECONDS = 35
LONG = "600"


async def filled(mongodb_uri: str, account: str) -> None:
    """More than fits between service and reader."""
    await fill_database(mongodb_uri, "processes", [account], count=10_000, size=2000)


def checked(name: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=name)


async def test_it_is_not_ready_at_once_and_serves_on(
    tmp_path: Path, on_the_sessions_database: list[str], any_token: str, account: str
) -> None:
    """After SIGTERM readiness says no, liveness yes, and new calls are answered; a second signal ends it."""
    with ServiceProcess(tmp_path, *on_the_sessions_database, "--drain-delay", LONG) as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(checked(SERVICE.full_name))
            assert (await watch.read()).status == SERVING
            process.process.send_signal(signal.SIGTERM)
            assert (await watch.read()).status == NOT_SERVING
            assert (await health.Check(checked())).status == SERVING
            contact = await Client(channel, any_token, account).create()
            assert await Client(channel, any_token, account).get(contact.id) == contact
            process.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.process.wait, END_SECONDS) == 1
        assert "stopped before calls under way had ended" in process.log


async def test_an_export_that_is_cut_off_goes_on_elsewhere(
    tmp_path: Path, on_the_sessions_database: list[str], mongodb_uri: str, any_token: str, account: str
) -> None:
    """UNAVAILABLE SHUTTING_DOWN; the last token that came continues the file elsewhere, byte for byte."""
    await filled(mongodb_uri, account)
    with (
        ServiceProcess(tmp_path / "one", *on_the_sessions_database, "--drain-timeout", "0") as leaving,
        ServiceProcess(tmp_path / "two", *on_the_sessions_database) as other,
    ):
        async with (
            grpc.aio.insecure_channel(leaving.address) as first,
            grpc.aio.insecure_channel(other.address) as second,
        ):
            export = Client(first, any_token, account).export()
            received = [await export.read() for _ in range(3)]
            leaving.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(eventually, lambda: "reason=SHUTTING_DOWN" in leaving.log)
            ended = await rest(export, received)
            assert (ended.code, ended.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
            elsewhere = Client(second, any_token, account)
            continued = [
                message async for message in elsewhere.export(resume_token=received[-1].resume_token)
            ]
            whole = [message async for message in elsewhere.export()]
        assert await asyncio.to_thread(leaving.process.wait, END_SECONDS) == 0
    assert text(received) + text(continued) == text(whole)
    assert len(text(received)) < len(text(whole))
    assert continued[-1].summary.total_records == 10_000


async def rest(export: Any, received: list[Any]) -> Any:
    """Reads on to the end, and returns how the stream failed."""
    try:
        while (message := await export.read()) is not grpc.aio.EOF:
            received.append(message)
    except grpc.aio.AioRpcError as error:
        return failure(error)
    raise AssertionError("the export came to its end")


def text(messages: list[Any]) -> bytes:
    return b"".join(message.data for message in messages)


@contextmanager
def stalled_reader(process: ServiceProcess, token: str, account: str) -> Iterator[None]:
    """A client in a process of its own that takes nothing more of its export, and does not leave."""
    command = [sys.executable, "-m", "tests.reader", process.address, token, account, "blocked"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "there\n"
        try:
            yield
        finally:
            reader.kill()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_client_holds_it_up(
    workers: str,
    tmp_path: Path,
    on_the_sessions_database: list[str],
    mongodb_uri: str,
    any_token: str,
    account: str,
) -> None:
    """A reader that stalled, a watcher of its health and an idle connection: exit code 0, none is killed."""
    await filled(mongodb_uri, account)
    patience = ("--drain-timeout", "1", "--stall-timeout", LONG, "--workers", workers)
    with ServiceProcess(tmp_path, *on_the_sessions_database, *patience) as process:
        async with (
            grpc.aio.insecure_channel(process.address) as channel,
            grpc.aio.insecure_channel(process.address) as idle,
        ):
            await idle.channel_ready()
            watch = health_pb2_grpc.HealthStub(channel).Watch(checked())
            assert (await watch.read()).status == SERVING
            with stalled_reader(process, any_token, account):
                process.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.process.wait, END_SECONDS) == 0
        assert "SHUTTING_DOWN" in process.log


async def test_a_watcher_that_takes_nothing_does_not_hold_it_up(
    tmp_path: Path, on_the_sessions_database: list[str]
) -> None:
    """Without a credential somebody watches its health and takes no byte of an answer: exit code 0."""
    with (
        ServiceProcess(tmp_path, *on_the_sessions_database, "--stall-timeout", LONG) as process,
        Wire(process.address, window=0) as wire,
    ):
        readiness = checked(SERVICE.full_name).SerializeToString()
        assert await asyncio.to_thread(stalled, wire, WATCH, readiness) == {OPEN: 1}
        process.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.process.wait, END_SECONDS) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_stderr_that_nobody_reads_does_not_hold_it_up(
    workers: str,
    tmp_path: Path,
    on_the_sessions_database: list[str],
    any_token: str,
    account: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It starts, answers calls and probes, whatever there is to tell of them, and ends on SIGTERM with 0."""
    # Without buffers there are no locks of theirs that an end might wait for.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    path = tmp_path / "folder" / "audit"
    path.parent.mkdir()
    more = ("--workers", workers, "--audit-file", str(path), "--ops-address", "127.0.0.1:0")
    with (
        full_pipe() as pipe,
        ServiceProcess(tmp_path, *on_the_sessions_database, *more, stderr=pipe.entrance) as process,
    ):
        # So that each of them has its line, and a complaint.
        path.parent.rename(tmp_path / "away")
        async with grpc.aio.insecure_channel(process.address) as channel:
            for _ in range(20):
                await Client(channel, any_token, account).create()
        assert (await get(process.facts["ops_address"], "/livez")).status == 200
        process.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.process.wait, END_SECONDS) == 0


async def test_a_database_that_stands_still_does_not_hold_it_up(
    tmp_path: Path, tokens: Path, any_token: str, account: str
) -> None:
    """Operations under way end by their deadline, and the driver's farewell is not waited for."""
    mongod = EmbeddedMongod(tmp_path / "mongod")
    mongod.start()
    try:
        with ServiceProcess(tmp_path, *flags(mongod.uri, tokens), "--drain-timeout", "0") as process:
            async with grpc.aio.insecure_channel(process.address) as channel:
                client = Client(channel, any_token, account)
                contact = await client.create()
                os.kill(mongod.pid, signal.SIGSTOP)
                hanging = asyncio.create_task(client.failure("GetContact", id=contact.id))
                process.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.process.wait, END_SECONDS) == 0
                await hanging
    finally:
        os.kill(mongod.pid, signal.SIGCONT)
        mongod.stop(timeout=0)
