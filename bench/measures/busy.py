"""Latencies while the service has something else to do, at loads that do not wait for answers."""

import statistics
from functools import reduce
from operator import add

from bench.figures import Figure, interleaved, ratio
from bench.laboratory import EXPORTED, Laboratory, Sample
from bench.lag import LAG, WORK, Ticks
from bench.load_generator import Requests, finished
from bench.measures.exports import export_requests

# Low enough to leave the exports most of a core, often enough to meet every stall of 10 ms.
GETS_A_SECOND = 200
STALL_MS = 10.0
SHARES = (0.5, 0.8)
# Calls that pile up for a moment must not meet the bound of streams on one connection.
CONNECTIONS = "4"
# Milliseconds. Beyond its most an open loop piles calls up, and latency grows for as long as it lasts.
LATE = 50.0


def busy(lab: Laboratory) -> list[Figure]:
    """GetContact at a fixed rate, alone and beside two exports; and what the event loop does meanwhile.

    Its lag also tells of a machine that is busy with others. What it works at a stretch is its own.
    """
    requests = lab.get_requests()
    ticks: dict[str, list[Ticks]] = {LAG: [], WORK: []}
    samples = interleaved(
        {"alone": lambda _: _gets(lab, requests), "beside": lambda _: _beside_exports(lab, requests, ticks)},
        lab.pace.rounds,
    )
    alone, beside = ([sample.p99 for sample in samples[name]] for name in ("alone", "beside"))
    longest = statistics.median(sample.longest for sample in samples["beside"])
    return [
        Figure(
            "Get p99 beside two exports / alone",
            ratio(beside, alone),
            "x",
            3,
            1.5,
            True,
            statistics.median(beside),
            statistics.median(alone),
            "alone",
            "ms",
        ),
        Figure("longest Get beside two exports", longest, "ms", note="a stall of the event loop shows here"),
        _stretch("longest lag of the event loop beside two exports", reduce(add, ticks[LAG])),
        _stretch("longest work of the event loop beside two exports", reduce(add, ticks[WORK]), STALL_MS),
    ]


def _stretch(name: str, found: Ticks, must: float | None = None) -> Figure:
    note = f"{found.above(STALL_MS / 1000)} ticks of 5 ms were above {STALL_MS:.0f} ms"
    return Figure(name, found.longest, "ms", must, must, at_most=True, note=note)


def saturation(lab: Laboratory) -> list[Figure]:
    """GetContact in an open loop, at shares of the most that such a loop reaches."""
    requests = lab.get_requests()
    at_once = statistics.median(
        lab.sample(lab.ours, requests, "-in-flight", "64").per_second for _ in range(lab.pace.rounds)
    )
    most = _most(lab, requests, at_once)
    return [figure for share in SHARES for figure in _at_share(lab, requests, most, share)]


def _most(lab: Laboratory, requests: Requests, at_once: float) -> float:
    """The highest rate whose p99 stays below LATE, in steps of a twentieth of what 64 in flight reach."""
    reached = 0.0
    for step in range(8, 20):
        sample = lab.sample(lab.ours, requests, *_open_loop(at_once * step / 20))
        if sample.p99 > LATE:
            break
        reached = at_once * step / 20
    return reached


def _open_loop(rate: float) -> tuple[str, ...]:
    return "-rate", f"{rate:.0f}", "-connections", CONNECTIONS


def _at_share(lab: Laboratory, requests: Requests, most: float, share: float) -> list[Figure]:
    rate = most * share
    samples = [lab.sample(lab.ours, requests, *_open_loop(rate)) for _ in range(lab.pace.rounds)]
    name = f"Get at {share:.0%} of saturation"
    note = f"{rate:.0f} of {most:.0f} calls/s, open loop"
    return [
        Figure(f"{name}, p50", statistics.median(sample.p50 for sample in samples), "ms", note=note),
        Figure(f"{name}, p99", statistics.median(sample.p99 for sample in samples), "ms", note=note),
    ]


def _gets(lab: Laboratory, requests: Requests) -> Sample:
    return lab.sample(lab.ours, requests, "-rate", str(GETS_A_SECOND))


def _beside_exports(lab: Laboratory, requests: Requests, ticks: dict[str, list[Ticks]]) -> Sample:
    length = lab.pace.warmup + lab.pace.seconds
    flags = ("-in-flight", "2", "-seconds", str(length))
    exporting = lab.load.start(lab.ours.address, lab.tokens[EXPORTED], export_requests(lab), *flags)
    with exporting:
        before = {metric: Ticks.now(lab.ours.ops_address, metric) for metric in ticks}
        sample = _gets(lab, requests)
        for metric, found in ticks.items():
            found.append(Ticks.now(lab.ours.ops_address, metric).since(before[metric]))
        finished(exporting, "ExportContacts")
    return sample
