"""What several workers count, as one page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from service.ops import endpoints, together
from service.ops.endpoints import Endpoints
from service.ops.metrics import Histogram, Metrics
from service.ops.together import Together
from tests.scrape import Samples, parsed


class Worker:
    """What a worker shows: its numbers are set by the test."""

    def __init__(self) -> None:
        self.why_not: str | None = None
        self.ensures = {"created": 0, "found": 0}
        self.up = 1
        self.moves = asyncio.Event()
        self.moves.set()
        self.seconds = Histogram(1.0)
        self._metrics = Metrics()
        self._metrics.read_each("contactservice_ensures_total", self.ensures)
        self._metrics.read("contactservice_database_up", lambda: self.up)
        self._metrics.read("contactservice_database_slots", lambda: 64)
        self._metrics.read("contactservice_build_info", lambda: 1, "1", "2", "3", "4", "true")
        self._metrics.read("contactservice_database_seconds", lambda: self.seconds)

    async def why_not_ready(self) -> str | None:
        await self.moves.wait()
        return self.why_not

    async def metrics(self) -> Metrics:
        await self.moves.wait()
        return self._metrics


class House:
    """Workers by their pid, and the supervisor's view of them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.living: dict[int, Worker] = {}
        self.together = Together(folder, 2, lambda: self.living)
        self._monkeypatch = monkeypatch

    @asynccontextmanager
    async def worker(self, pid: int) -> AsyncIterator[Worker]:
        worker = Worker()
        served = Endpoints(worker.why_not_ready, worker.metrics)
        # Not in `os`: the driver would take it for a fork, and forget its connections.
        self._monkeypatch.setattr(endpoints, "getpid", lambda: pid)
        await served.listen(endpoints.for_workers(self.folder))
        self.living[pid] = worker
        yield worker
        del self.living[pid]
        await served.stop()

    async def page(self) -> Samples:
        return parsed(generate_latest(await self.together.metrics()).decode())


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


async def test_counters_add_up_and_gauges_by_what_they_mean(house: House) -> None:
    """Two half databases are not one: up is the least of all, slots are all, build info is 1."""
    async with house.worker(1) as one, house.worker(2) as other:
        one.ensures["created"], other.ensures["created"] = 3, 4
        one.seconds.observe(0.5)
        other.seconds.observe(2.0)
        other.up = 0
        page = await house.page()
    assert page.of("contactservice_ensures_total", "created") == 7
    assert page.of("contactservice_database_seconds_bucket", "1.0") == 1
    assert page.of("contactservice_database_seconds_count") == 2
    assert page.of("contactservice_database_seconds_sum") == 2.5
    assert page.of("contactservice_database_up") == 0
    assert page.of("contactservice_database_slots") == 128
    assert page.of("contactservice_build_info", "1", "2", "3", "4", "true") == 1


async def test_what_a_dead_worker_counted_stays_counted(house: House) -> None:
    """The sum never falls, through any number of restarts; its gauges go with it."""
    async with house.worker(2) as survivor:
        survivor.ensures["found"] = 1
        for pid in (1, 3, 4):
            async with house.worker(pid) as mortal:
                mortal.ensures["found"] = 10
                await house.page()
            page = await house.page()
        assert page.of("contactservice_ensures_total", "found") == 31
        assert page.of("contactservice_database_slots") == 64


async def test_a_worker_that_does_not_answer_is_counted_as_it_was(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loop stands still: the page comes without it after a moment, with what it said last."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(house.worker(1))
        await stack.enter_async_context(house.worker(2))
        one.ensures["found"] = 5
        await house.page()
        one.ensures["found"] = 6
        monkeypatch.setattr(together, "_PATIENCE", together.ClientTimeout(total=0.3))
        one.moves.clear()
        assert await house.together.why_not_ready() == "1 of 2 workers are ready"
        assert (await house.page()).of("contactservice_ensures_total", "found") == 5
        one.moves.set()


async def test_all_workers_have_to_be_ready(house: House) -> None:
    """One that is missing or not ready keeps traffic away from a port that is theirs together."""
    assert await house.together.why_not_ready() == "0 of 2 workers are ready"
    async with house.worker(1):
        assert await house.together.why_not_ready() == "1 of 2 workers are ready"
        async with house.worker(2) as other:
            assert await house.together.why_not_ready() is None
            other.why_not = "the database does not answer"
            assert await house.together.why_not_ready() == "1 of 2 workers are ready"
