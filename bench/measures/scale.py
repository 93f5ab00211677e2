"""The same measures from a thousand to a million contacts: flat, or not."""

import statistics
from collections.abc import Callable, Sequence

from bench.figures import Figure, interleaved, ratio
from bench.laboratory import Laboratory
from bench.measures.exports import Exported, exported, peak
from bench.measures.pages import last_against_first
from bench.processes import Running

SIZES = (1_000, 10_000, 100_000, 1_000_000)
BASE = 100_000


def scale(lab: Laboratory) -> list[Figure]:
    """One account of each size, all in one collection, read by a service that knows their tokens."""
    for size in SIZES:
        lab.add_account(_account(size), size)
    with lab.fresh_service() as running:
        runs = interleaved({size: _export(lab, running, size) for size in SIZES}, lab.pace.rounds)
        lasts = [last_against_first(lab, running, _account(size), size) for size in SIZES[-2:]]
    figures = [_rate(size, runs[size], runs[BASE]) for size in SIZES if size != BASE]
    return figures + lasts + [peak(lab, _account(size), size) for size in SIZES[-2:]]


def _export(lab: Laboratory, running: Running, size: int) -> Callable[[int], Exported]:
    return lambda _: exported(lab, running, _account(size), size, "JSONL")


def _rate(size: int, runs: Sequence[Exported], base: Sequence[Exported]) -> Figure:
    rates, peers = ([run.per_second for run in each] for each in (runs, base))
    must = 0.9 if size > BASE else None
    first = statistics.median(run.first for run in runs)
    return Figure(
        f"export of {size:,} / of {BASE:,}",
        ratio(rates, peers),
        "x",
        must,
        must,
        ours=statistics.median(rates),
        peer=statistics.median(peers),
        peer_name=f"{BASE:,}",
        note=f"first records after {first:.1f} ms",
    )


def _account(size: int) -> str:
    return f"scale-{size}"
