"""The same measures from a thousand to a million contacts: flat, or not."""

import statistics

from bench.figures import Figure
from bench.laboratory import Laboratory
from bench.measures.exports import Exported, exported, peak
from bench.measures.pages import last_against_first

SIZES = (1_000, 10_000, 100_000, 1_000_000)


def scale(lab: Laboratory) -> list[Figure]:
    """One account of each size, all in one collection, read by a service that knows their tokens."""
    for size in SIZES:
        lab.add_account(_account(size), size)
    with lab.fresh_service() as running:
        exports = {
            size: [exported(lab, running, _account(size), size, "JSONL") for _ in range(3)] for size in SIZES
        }
        lasts = [last_against_first(lab, running, _account(size), size) for size in SIZES[-2:]]
    rates = {size: statistics.median(run.per_second for run in runs) for size, runs in exports.items()}
    figures = [_rate(size, rates, exports[size]) for size in SIZES]
    return figures + lasts + [peak(lab, _account(size), size) for size in SIZES[-2:]]


def _rate(size: int, rates: dict[int, float], runs: list[Exported]) -> Figure:
    base = SIZES[2]
    must = 0.9 if size > base else None
    first = statistics.median(run.first for run in runs)
    return Figure(
        f"export of {size:,} / of {base:,}",
        rates[size] / rates[base],
        "x",
        must,
        must,
        ours=rates[size],
        peer=rates[base],
        peer_name=f"{base:,}",
        note=f"first records after {first:.1f} ms",
    )


def _account(size: int) -> str:
    return f"scale-{size}"
