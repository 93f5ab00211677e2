"""The rules of a deletion that need no database: patience, late sweeps, counts."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain import deletion
from service.domain.deletion import CollectionCount, Rules
from service.domain.links import Action, Link

END = datetime(2026, 1, 1, tzinfo=UTC)
CASCADE = Link("notes", "account", "contact", Action.CASCADE)
UNLINK = Link("tasks", "account", "contact", Action.UNLINK)
RESTRICT = Link("invoices", "account", "contact", Action.RESTRICT)


@pytest.mark.parametrize(
    ("remaining", "seconds"), [(None, 10), (60.0, 10), (11.0, 10), (6.0, 5), (1.5, 0.5), (1.0, 0), (0.2, 0)]
)
def test_an_answer_comes_a_second_before_the_deadline(remaining: float | None, seconds: float) -> None:
    """And never waits longer than ten seconds."""
    assert deletion.patience(remaining) == seconds


def test_late_rows_are_looked_for_at_growing_intervals() -> None:
    """After a minute, ten, an hour, six and a day; what was slept through is made up for once."""
    rules = Rules(links=(CASCADE,))
    sweeps, now = [], END
    while due := rules.next_sweep(END, now):
        sweeps.append(due - END)
        now = due
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    assert sweeps == [minute, 10 * minute, hour, 6 * hour, 24 * hour]
    assert rules.next_sweep(END, END + 2 * hour) == END + 6 * hour


@pytest.mark.parametrize("links", [(), (RESTRICT,)])
def test_without_rows_to_remove_nothing_is_looked_for(links: tuple[Link, ...]) -> None:
    """A deletion without links, or with such that only forbid, is due never again."""
    assert Rules(links=links).next_sweep(END, END) is None


def test_counts_stand_in_the_order_of_the_links() -> None:
    """Each collection once, also what is linked no longer, and those where nothing happened."""
    counts = [CollectionCount("old", 1), CollectionCount("tasks", 0, 2)]
    again = Link("notes", "account", "author", Action.UNLINK)
    assert deletion.listed(counts, [CASCADE, again, UNLINK, RESTRICT]) == (
        CollectionCount("notes"),
        CollectionCount("tasks", 0, 2),
        CollectionCount("invoices"),
        CollectionCount("old", 1),
    )


def test_rows_are_counted_by_what_was_done_to_them() -> None:
    """Removed rows and unlinked rows of the one collection; the others stay as they are."""
    counts = deletion.listed((), [CASCADE, UNLINK])
    counts = deletion.added(deletion.added(counts, CASCADE, 3), UNLINK, 2)
    assert counts == (CollectionCount("notes", 3, 0), CollectionCount("tasks", 0, 2))
