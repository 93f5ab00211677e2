"""Rates: never more than a burst and what the rate adds, and an honest answer to the question when."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.rates import Buckets, Rate
from tests.domain.strategies import bounded

rates = st.builds(Rate, st.floats(0.01, 1000), st.integers(1, 50))
# Pauses and how much is asked for after each.
asked = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 60)), max_size=60)


@pytest.mark.parametrize(
    ("text", "per_second", "burst"),
    [
        ("100/s", 100, 100),
        ("600/min", 10, 600),
        ("6/h", 6 / 3600, 6),
        ("100/s:500", 100, 500),
        ("5/s:1", 5, 1),
    ],
)
def test_a_rate_is_read_from_its_text(text: str, per_second: float, burst: int) -> None:
    """The number is also what may come at once, unless another one stands behind a colon."""
    assert Rate.parse(text) == Rate(per_second, burst)


@bounded
@given(rates, asked)
def test_never_more_than_a_burst_and_what_the_rate_adds(rate: Rate, pauses: list[tuple[float, int]]) -> None:
    """Over any stretch of time, from any taking to any later one."""
    buckets, now, taken = Buckets(rate), 1000.0, []
    for pause, n in pauses:
        now += pause
        if not buckets.take("a", now, n):
            taken.append((now, n))
    for first, (begin, _) in enumerate(taken):
        total = 0
        for moment, n in taken[first:]:
            total += n
            assert total <= rate.burst + rate.per_second * (moment - begin) + 1e-6


@bounded
@given(rates, asked)
def test_the_wait_is_exact(rate: Rate, pauses: list[tuple[float, int]]) -> None:
    """After it the same is given; shortly before it is not. What can never be given waits for ever."""
    buckets, now = Buckets(rate), 1000.0
    for pause, n in pauses:
        now += pause
        wait = buckets.take("a", now, n)
        assert (wait == math.inf) == (n > rate.burst)
        if 1e-6 < wait < math.inf:
            assert buckets.take("a", now + wait - 1e-6, n) > 0
            now += wait + 1e-9
            assert buckets.take("a", now, n) == 0


@bounded
@given(rates, asked)
def test_forgetting_changes_nothing(rate: Rate, pauses: list[tuple[float, int]]) -> None:
    """Accounts are forgotten with full buckets only: one that comes beside others is treated as if alone."""
    alone, beside, now = Buckets(rate), Buckets(rate), 1000.0
    for number, (pause, n) in enumerate(pauses):
        now += pause
        beside.take(f"other-{number}", now)
        assert alone.take("a", now, n) == beside.take("a", now, n)


def test_accounts_do_not_share_a_bucket() -> None:
    """What one has used up another still has."""
    buckets = Buckets(Rate(1, 2))
    assert [buckets.take(account, 5.0) for account in "aabb"] == [0, 0, 0, 0]
    assert buckets.take("a", 5.0) == buckets.take("b", 5.0) == 1


def test_a_refusal_takes_nothing() -> None:
    """Asking again and again does not put the moment off."""
    buckets = Buckets(Rate(1, 1))
    buckets.take("a", 0.0)
    assert [buckets.take("a", moment) for moment in (0.5, 0.5, 0.75)] == [0.5, 0.5, 0.25]
    assert buckets.take("a", 1.0) == 0


def test_accounts_with_full_buckets_are_forgotten() -> None:
    """Of a million accounts that came and went, those of the last moments are known."""
    buckets = Buckets(Rate(100, 10))
    for number in range(100_000):
        buckets.take(f"account-{number}", number / 1000)
    assert buckets.accounts <= 200


def test_no_crowd_makes_the_map_grow_without_end() -> None:
    """When more accounts come at once than are remembered, those unseen the longest are forgiven."""
    buckets = Buckets(Rate(1 / 3600, 1), generation=1000)
    for number in range(10_000):
        buckets.take(f"account-{number}", 0.0)
    assert buckets.accounts <= 2000
    assert buckets.take("account-9999", 0.0) > 0
