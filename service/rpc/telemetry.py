"""What is seen of one server: metrics, probes and traces, and which number stands where."""

import os
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

from service.ops import reloads, traces
from service.ops.endpoints import Endpoints
from service.ops.lag import LoopLag
from service.ops.metrics import Histogram, Metrics, of_sizes
from service.rpc.boundary import Boundary
from service.rpc.health import Readiness
from service.rpc.limits import Limits
from service.storage.store import Store

# Half a millisecond is a get; five seconds are the end of an operation's time.
_DATABASE_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_BATCH_KEYS = (1, 2, 4, 8, 16, 32, 64, 128)


class Telemetry:
    """`listen` before the server serves, `start` when it does, `close` after it: a drain can be seen."""

    def __init__(self, why_not_ready: Callable[[], str | None]) -> None:
        self.metrics = Metrics()
        self.tracing = traces.begun(os.environ)
        self.ops_address: str | None = None
        self._why_not_ready = why_not_ready
        self._lag = LoopLag()
        self._endpoints = Endpoints(self._why_not, self._page)

    def show(
        self, boundary: Boundary, limits: Limits, store: Store, readiness: Readiness, *, native: bool
    ) -> None:
        _show_calls(self.metrics, boundary)
        self.metrics.read_each("contactservice_limit_refusals_total", limits.refusals)
        _show_store(self.metrics, store, readiness)
        _show_process(self.metrics, self._lag, native=native)
        if self.tracing:
            store.gate.trace = self.tracing.database

    async def listen(self, where: str | None) -> None:
        """Opens the ops port, if there is one; raises OpsPortUnusable."""
        if where:
            self.ops_address = await self._endpoints.listen(where)

    def start(self) -> None:
        self._lag.start()

    async def close(self) -> None:
        self._lag.stop()
        if self.tracing:
            await self.tracing.close()
        await self._endpoints.stop()

    async def _why_not(self) -> str | None:
        return self._why_not_ready()

    async def _page(self) -> Metrics:
        return self.metrics


def _show_calls(metrics: Metrics, boundary: Boundary) -> None:
    for counts in boundary.counts:
        counts.show(metrics)
    metrics.read("contactservice_calls_in_flight", lambda: sum(each.in_flight for each in boundary.counts))
    metrics.read_each("contactservice_refusals_total", boundary.refusals)
    exported = boundary.exported
    metrics.read("contactservice_export_rows_total", lambda: exported.rows)
    metrics.read("contactservice_export_bytes_total", lambda: exported.bytes)
    metrics.read("contactservice_export_streams", lambda: exported.streams)
    watched = boundary.watched
    metrics.read("contactservice_watch_changes_total", lambda: watched.rows)
    metrics.read("contactservice_watch_streams", lambda: watched.streams)


def _show_store(metrics: Metrics, store: Store, readiness: Readiness) -> None:
    metrics.read("contactservice_database_up", lambda: readiness.answers)
    ensures = store.ensures
    metrics.read("contactservice_ensures_total", lambda: ensures[True], "created")
    metrics.read("contactservice_ensures_total", lambda: ensures[False], "found")
    for operation, sizes in store.batch_sizes.items():
        metrics.read("contactservice_batch_keys", partial(of_sizes, sizes, *_BATCH_KEYS), operation)
    metrics.read("contactservice_deletion_jobs_open", lambda: store.sweeper.open.count)
    metrics.read("contactservice_deletion_oldest_open_seconds", lambda: store.sweeper.open.oldest_seconds)
    gate = store.gate
    seconds = Histogram(*_DATABASE_SECONDS)
    gate.took = seconds.observe
    metrics.read("contactservice_database_seconds", lambda: seconds)
    metrics.read("contactservice_database_operations", lambda: gate.under_way)
    metrics.read("contactservice_database_slots", lambda: gate.most)


def _show_process(metrics: Metrics, lag: LoopLag, *, native: bool) -> None:
    metrics.read("contactservice_event_loop_lag_seconds", lambda: lag.seconds)
    metrics.read("contactservice_event_loop_work_seconds", lambda: lag.work)
    metrics.read_each("contactservice_reload_failures_total", reloads.failures)
    metrics.read_each("contactservice_reload_failing", reloads.failing)
    build = (
        version("contactservice-server"),
        platform.python_version(),
        version("grpcio"),
        version("pymongo"),
        str(native).lower(),
    )
    metrics.read("contactservice_build_info", lambda: 1, *build)
