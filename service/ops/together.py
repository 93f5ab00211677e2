"""The ops port of a supervisor: what its workers say on theirs, as one answer.

Counters of a worker that has died stay in the sums as they were last read: a sum that falls would be taken
for a restart of everything, and what is left of it for new calls.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector
from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from service.ops.endpoints import worker_socket

_PATIENCE = ClientTimeout(total=2.0)
# What is not the sum over the workers.
_LEAST = {
    "contactservice_certificate_expires_seconds",
    "contactservice_database_up",
    "process_start_time_seconds",
}
_MOST = {
    "contactservice_build_info",
    "contactservice_deletion_jobs_open",
    "contactservice_deletion_oldest_open_seconds",
    "contactservice_reload_failing",
}

Page = Sequence[Metric]


class Merged(Collector):
    """Pages as one."""

    def __init__(self, *pages: Page) -> None:
        self._pages = pages

    def collect(self) -> Iterator[Metric]:
        families: dict[str, list[Metric]] = {}
        for page in self._pages:
            for metric in page:
                families.setdefault(metric.name, []).append(metric)
        yield from map(_one, families.values())


class Together:
    """Asks the workers with the pids that are there now, of which there should be `count`."""

    def __init__(self, folder: Path, count: int, pids: Callable[[], Iterable[int]]) -> None:
        self._folder = folder
        self._count = count
        self._pids = pids
        self._last: dict[int, Page] = {}
        self._gone: Page = ()
        self._process = ProcessCollector(registry=None)

    async def why_not_ready(self) -> str | None:
        """A sentence while not all workers are ready."""
        answers = await asyncio.gather(*(self._asked(pid, "/readyz") for pid in self._pids()))
        ready = sum(answer is not None and answer[0] == 200 for answer in answers)
        return None if ready >= self._count else f"{ready} of {self._count} workers are ready"

    async def metrics(self) -> Collector:
        """Sums over all workers that were ever read, with what this process takes itself."""
        pids = [*self._pids()]
        answers = await asyncio.gather(*(self._asked(pid, "/metrics") for pid in pids))
        for pid in self._last.keys() - set(pids):
            self._gone = [*Merged(self._gone, _counted(self._last.pop(pid))).collect()]
        for pid, answer in zip(pids, answers, strict=True):
            if answer:
                self._last[pid] = [*text_string_to_metric_families(answer[1])]
        return Merged(*self._last.values(), self._gone, [*self._process.collect()])

    async def _asked(self, pid: int, path: str) -> tuple[int, str] | None:
        socket = str(worker_socket(self._folder, pid))
        try:
            async with (
                ClientSession(connector=UnixConnector(socket), timeout=_PATIENCE) as session,
                session.get(f"http://worker{path}") as response,
            ):
                return response.status, await response.text()
        except (ClientError, TimeoutError):
            # It starts or ends, or its loop stands still: not ready, and what it said before still counts.
            return None


def _one(parts: Sequence[Metric]) -> Metric:
    first = parts[0]
    combine = min if first.name in _LEAST else max if first.name in _MOST else sum
    values: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]] = {}
    for metric in parts:
        for sample in metric.samples:
            values.setdefault((sample.name, (*sample.labels.items(),)), []).append(sample.value)
    merged = Metric(first.name, first.documentation, first.type)
    for (name, labels), found in values.items():
        merged.add_sample(name, dict(labels), combine(found))
    return merged


def _counted(page: Page) -> Page:
    return [metric for metric in page if metric.type in {"counter", "histogram"}]
