"""Metrics: the fixed list of their names, and the page that Prometheus reads.

Whoever counts keeps plain numbers and is read when the page is asked for: counting costs a call next to
nothing. No label ever holds an account, an id, a fingerprint or another text that a caller wrote.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

_CALL = ("grpc_type", "grpc_service", "grpc_method")
_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}


class Family(NamedTuple):
    """Of what kind a metric is, what it tells, and by what it is told apart."""

    kind: str
    text: str
    labels: Sequence[str] = ()


# docs/metrics.md explains each; a test compares.
FAMILIES: Mapping[str, Family] = {
    "grpc_server_started_total": Family("counter", "Calls that began.", _CALL),
    "grpc_server_handled_total": Family("counter", "Calls that ended, by their code.", (*_CALL, "grpc_code")),
    "grpc_server_handling_seconds": Family("histogram", "How long calls took.", _CALL),
    "grpc_server_msg_received_total": Family("counter", "Messages received of calls.", _CALL),
    "grpc_server_msg_sent_total": Family("counter", "Messages sent in calls.", _CALL),
    "contactservice_calls_in_flight": Family("gauge", "Calls under way."),
    "contactservice_refusals_total": Family("counter", "Calls refused before any work.", ("reason",)),
    "contactservice_limit_refusals_total": Family("counter", "Calls refused by a limit.", ("limit",)),
    "contactservice_ensures_total": Family("counter", "EnsureContact: created or found.", ("outcome",)),
    "contactservice_export_rows_total": Family("counter", "Contacts sent by exports."),
    "contactservice_export_bytes_total": Family("counter", "Bytes of messages sent by exports."),
    "contactservice_export_streams": Family("gauge", "Exports under way."),
    "contactservice_watch_changes_total": Family("counter", "Changes sent by watches."),
    "contactservice_watch_streams": Family("gauge", "Watches under way."),
    "contactservice_batch_keys": Family(
        "histogram", "Keys in one operation for several calls.", ("operation",)
    ),
    "contactservice_database_seconds": Family("histogram", "How long database operations took."),
    "contactservice_database_operations": Family("gauge", "Database operations under way."),
    "contactservice_database_slots": Family("gauge", "Database operations that may be under way."),
    "contactservice_database_up": Family("gauge", "1 if the database answered when it was last asked."),
    "contactservice_deletion_jobs_open": Family("gauge", "Deletions that have begun and not ended."),
    "contactservice_deletion_oldest_open_seconds": Family(
        "gauge", "Age of the oldest such deletion; 0: none."
    ),
    "contactservice_event_loop_lag_seconds": Family("histogram", "How late a timer of 5 ms came."),
    "contactservice_event_loop_work_seconds": Family(
        "histogram", "Processor time of the loop's thread between two ticks of that timer."
    ),
    "contactservice_reload_failures_total": Family(
        "counter", "Changed files that could not be used.", ("file",)
    ),
    "contactservice_reload_failing": Family(
        "gauge", "1 while a changed file cannot be used, and the last good one is in force.", ("file",)
    ),
    "contactservice_certificate_expires_seconds": Family(
        "gauge", "When the certificate expires (Unix time)."
    ),
    "contactservice_memory_limit_bytes": Family(
        "gauge", "Memory that the service may use; absent without a limit."
    ),
    "contactservice_build_info": Family(
        "gauge", "Always 1; the labels tell what runs.", ("version", "python", "grpc", "pymongo", "native")
    ),
}


class Histogram:
    """Observations counted by bounds, each for what is not above it; the last count has no bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, *bounds: float) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound with the number of observations up to it."""
        names = [*map(str, self.bounds), "+Inf"]
        return [*zip(names, accumulate(self.counts), strict=True)]


def of_sizes(counts: Sequence[int], *bounds: int) -> Histogram:
    """A histogram of what was counted by its size: counts[n] is how often n was seen."""
    histogram = Histogram(*bounds)
    for size, count in enumerate(counts):
        histogram.counts[bisect_left(bounds, size)] += count
        histogram.total += size * count
    return histogram


# A number, None where there is none to tell, or a histogram; read anew for every page.
Reading: TypeAlias = float | Histogram | None
Source: TypeAlias = Callable[[], Reading]


class Metrics(Collector):
    """What the service counts, by the names of FAMILIES."""

    def __init__(self) -> None:
        self._sources: dict[str, list[tuple[tuple[str, ...], Source]]] = {name: [] for name in FAMILIES}
        self._process = ProcessCollector(registry=None)

    def read(self, name: str, source: Source, *labels: str) -> None:
        """From now on the metric, with these values of its labels in their order, is what the source says."""
        self._sources[name].append((labels, source))

    def read_each(self, name: str, counts: Mapping[str, float], *labels: str) -> None:
        """As `read`, with a sample for each member that the mapping has now; its key is the last label."""
        for key in counts:
            self.read(name, partial(counts.get, key), *labels, key)

    def collect(self) -> Iterator[Metric]:
        for name, family in FAMILIES.items():
            shown = _FAMILIES[family.kind](name, family.text, labels=family.labels)
            for labels, source in self._sources[name]:
                value = source()
                if isinstance(value, Histogram):
                    shown.add_metric(labels, value.buckets(), value.total)
                elif value is not None:
                    shown.add_metric(labels, value)
            yield shown
        yield from self._process.collect()
