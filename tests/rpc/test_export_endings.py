"""However an export ends, and wherever it is then: its slot and its tasks are free again at once."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from service.rpc.server import Server
from service.storage.gate import SLOTS
from tests.client import Client
from tests.people import fill

pytestmark = pytest.mark.timeout(60)

POINTS = ("header", "midway", "blocked")
DEADLINE_SECONDS = 1.0
# The session's server ends a reader that takes nothing for half a second.
STALL_SECONDS = 0.5


@pytest_asyncio.fixture
async def crowded(server: Server, client: Client, account: str) -> str:
    """An account whose export is larger than any window that a client grants."""
    # The first reader ever makes the server fetch its token keys; that is not what is tested here.
    await client.list()
    await fill(server.store, account, count=6000, size=2000)
    return account


@asynccontextmanager
async def reading(server: Server, token: str, account: str, point: str, *more: str) -> AsyncIterator[Process]:
    """A reader's process that is where it should be; killed afterwards."""
    command = [sys.executable, "-m", "tests.reader", str(server.address), token, account, point, *more]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        assert process.stdout
        assert await process.stdout.readline() == b"there\n"
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def database_busy(server: Server, *, busy: bool) -> AsyncIterator[None]:
    """No operation gets its turn: an export stays before its first row."""
    slots = server.store._gate._slots
    for _ in range(SLOTS if busy else 0):
        await slots.acquire()
    try:
        yield
    finally:
        for _ in range(SLOTS if busy else 0):
            slots.release()


async def until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("ending", ["cancel", "kill", "deadline", "freeze"])
@pytest.mark.parametrize("point", POINTS)
async def test_every_ending_frees_slot_and_tasks(
    ending: str, point: str, server: Server, any_token: str, crowded: str
) -> None:
    """Four endings in three places: the slot and every task are gone within a second, none is left over."""
    before = len(asyncio.all_tasks())
    more = [str(DEADLINE_SECONDS)] if ending == "deadline" else []
    patience = 1.0 + (DEADLINE_SECONDS if ending == "deadline" else 0)
    async with (
        database_busy(server, busy=point == "header" and ending != "freeze"),
        reading(server, any_token, crowded, point, *more) as reader,
    ):
        assert server.export_slots.taken == 1
        if ending == "cancel":
            assert reader.stdin
            reader.stdin.write(b"now\n")
        elif ending == "kill":
            reader.kill()
        elif ending == "freeze":
            reader.send_signal(signal.SIGSTOP)
            patience += STALL_SECONDS
        await until(lambda: server.export_slots.taken == 0, patience)
        if ending == "freeze":
            # gRPC itself keeps the ended call until its client leaves.
            reader.kill()
    await until(lambda: len(asyncio.all_tasks()) <= before, 2.0)
