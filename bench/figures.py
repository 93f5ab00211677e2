"""What was measured against what had to be reached: pure, from samples of rounds to lines of a table."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Sample = TypeVar("Sample")


@dataclass(frozen=True)
class Figure:
    """One line of the report. `value` is what `must` and `aim` speak of; without `must`: for the record."""

    measure: str
    value: float
    unit: str
    must: float | None = None
    aim: float | None = None
    at_most: bool = False
    ours: float | None = None
    peer: float | None = None
    peer_name: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.must is None:
            return ""
        if self.aim is not None and self._reaches(self.aim):
            return "aim"
        return "met" if self._reaches(self.must) else "MISSED"

    def _reaches(self, bound: float) -> bool:
        return self.value <= bound if self.at_most else self.value >= bound


def interleaved(contestants: Mapping[str, Callable[[int], Sample]], rounds: int) -> dict[str, list[Sample]]:
    """Every round asks all of them, in turn; every second round begins with the last."""
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    for number in range(rounds):
        order = list(contestants.items())
        for name, sample in order if number % 2 == 0 else reversed(order):
            samples[name].append(sample(number))
    return samples


def ratio(ours: Sequence[float], peer: Sequence[float]) -> float:
    """The median of the rounds' ratios: what slows the machine down in one round slows both."""
    return statistics.median(mine / theirs for mine, theirs in zip(ours, peer, strict=True))


def table(figures: Sequence[Figure]) -> str:
    """As text, aligned."""
    title = ("measure", "value", "ours", "peer", "must", "aim", "", "")
    rows = [title, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(figure: Figure) -> tuple[str, ...]:
    sign = "<= " if figure.at_most else ">= "
    peer = f"{figure.peer_name} {_number(figure.peer)}" if figure.peer is not None else ""
    bounds = [f"{sign}{_number(bound)}" if bound is not None else "" for bound in (figure.must, figure.aim)]
    value = f"{_number(figure.value)} {figure.unit}"
    return (figure.measure, value, _number(figure.ours), peer, *bounds, figure.verdict, figure.note)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
