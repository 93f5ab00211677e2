"""Deletion by rules: what it reaches, how long work is leased, when it looks again, what a receipt says.

Nothing here holds anything of the person. Times are UTC in whole milliseconds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from service.domain.links import Action, Link

_LONGEST_WAIT_SECONDS: Final = 10.0
_DEADLINE_MARGIN_SECONDS: Final = 1.0


class Step(StrEnum):
    """The moments between two writes of a deletion: where a crash leaves something to go on from."""

    OPENED = "opened"  # the job is written, the contact still there
    REMOVED = "removed"  # the contact is gone, nobody has the job
    LEASED = "leased"  # somebody has the job
    NOTED = "noted"  # a batch stands in the job, none of it is done
    CLEARED = "cleared"  # it is done and not counted
    COUNTED = "counted"
    CLEAN = "clean"  # a look at all collections found nothing, the job is still open
    FINISHED = "finished"


def _go_on(_: Step) -> None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What a deletion reaches, and at what pace.

    `late_sweeps` says how long after the end of a deletion its rows are looked for again: another service may
    have been about to write one. `reached` hears of every step.
    """

    links: tuple[Link, ...] = ()
    batch_rows: int = 500
    lease: timedelta = timedelta(seconds=15)
    look_seconds: float = 3.0
    late_sweeps: tuple[timedelta, ...] = (
        timedelta(minutes=1),
        timedelta(minutes=10),
        timedelta(hours=1),
        timedelta(hours=6),
        timedelta(hours=24),
    )
    reached: Callable[[Step], object] = _go_on

    def next_sweep(self, finished_at: datetime, now: datetime) -> datetime | None:
        """When to look again after the end of a deletion; None when there is nothing to look for any more."""
        if not any(link.action != Action.RESTRICT for link in self.links):
            return None
        return min(
            (finished_at + each for each in self.late_sweeps if finished_at + each > now), default=None
        )


@dataclass(frozen=True, slots=True)
class CollectionCount:
    """How many rows of one linked collection a deletion removed, and how many it unlinked."""

    collection: str
    deleted: int = 0
    unlinked: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a deletion did so far; it has ended when it has `finished_at`."""

    contact_id: str
    started_at: datetime
    finished_at: datetime | None
    collections: tuple[CollectionCount, ...] = ()

    @property
    def id(self) -> str:
        """The deletion's own id; a contact is deleted once and its id never comes back, so it is derived."""
        return "dl_" + self.contact_id.removeprefix("ct_")


def patience(remaining: float | None) -> float:
    """For how many seconds an answer waits for the rows, by what remains of the caller's deadline."""
    if remaining is None:
        return _LONGEST_WAIT_SECONDS
    return max(0.0, min(_LONGEST_WAIT_SECONDS, remaining - _DEADLINE_MARGIN_SECONDS))


def listed(counts: Iterable[CollectionCount], links: Iterable[Link]) -> tuple[CollectionCount, ...]:
    """The counts of all linked collections in the order of the links, then of those linked no longer."""
    known = {count.collection: count for count in counts}
    names = dict.fromkeys([*(link.collection for link in links), *known])
    return tuple(known.get(name) or CollectionCount(name) for name in names)


def added(counts: Iterable[CollectionCount], link: Link, rows: int) -> tuple[CollectionCount, ...]:
    """The counts with `rows` more that the link's action took care of."""
    return tuple(_added(each, link, rows) if each.collection == link.collection else each for each in counts)


def _added(count: CollectionCount, link: Link, rows: int) -> CollectionCount:
    if link.action == Action.CASCADE:
        return replace(count, deleted=count.deleted + rows)
    return replace(count, unlinked=count.unlinked + rows)
