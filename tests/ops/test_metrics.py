"""Counting: histograms, and how what is counted elsewhere is read for the page."""

import asyncio
import time

import pytest
from prometheus_client import generate_latest

from service.ops.lag import TICK_SECONDS, LoopLag
from service.ops.metrics import Histogram, Metrics, of_sizes
from tests.scrape import parsed


def test_an_observation_is_in_every_bucket_from_its_own_on() -> None:
    """A value that equals a bound is below it; one beyond the last bound is in the last bucket only."""
    histogram = Histogram(0.1, 1.0)
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert histogram.buckets() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert histogram.total == pytest.approx(7.65)


def test_sizes_become_a_histogram() -> None:
    """Of a list that says how often each size was seen."""
    histogram = of_sizes([0, 5, 0, 2, 0, 0, 0, 0, 0, 1], 1, 4)
    assert histogram.buckets() == [("1", 5), ("4", 7), ("+Inf", 8)]
    assert histogram.total == 5 + 6 + 9


def test_the_page_tells_what_is_true_when_it_is_read() -> None:
    """Sources are asked anew; one that has nothing to tell is left out, and its name stays."""
    metrics = Metrics()
    limit: list[float] = []
    failures = {"tokens": 0}
    metrics.read("contactservice_memory_limit_bytes", lambda: limit[0] if limit else None)
    metrics.read_each("contactservice_reload_failures_total", failures)
    page = generate_latest(metrics).decode()
    assert "# TYPE contactservice_memory_limit_bytes gauge" in page
    assert "contactservice_memory_limit_bytes" not in parsed(page)
    limit.append(2**30)
    failures["tokens"] += 1
    now = parsed(generate_latest(metrics).decode())
    assert now.of("contactservice_memory_limit_bytes") == 2**30
    assert now.of("contactservice_reload_failures_total", "tokens") == 1


def test_a_name_that_is_not_on_the_list_is_refused() -> None:
    """What is shown is documented, or it is not shown."""
    with pytest.raises(KeyError):
        Metrics().read("contactservice_secret", lambda: 1)


async def test_work_that_keeps_the_loop_is_told_from_waiting() -> None:
    """Who computes for 30 ms of processor time is seen with it, who sleeps in the loop is not."""
    lag = LoopLag()
    lag.start()
    until = time.thread_time() + 0.03
    while time.thread_time() < until:
        pass
    while sum(lag.work.counts) < 1:
        await asyncio.sleep(0)
    time.sleep(0.06)  # noqa: ASYNC251 (as if the machine had no processor)
    while sum(lag.work.counts) < 2:
        await asyncio.sleep(0)
    lag.stop()
    assert lag.work.total >= 0.03
    assert dict(lag.work.buckets())["0.05"] - dict(lag.work.buckets())["0.02"] == 1
    assert dict(lag.seconds.buckets())["+Inf"] - dict(lag.seconds.buckets())["0.02"] == 2


async def test_a_stall_of_the_loop_is_seen() -> None:
    """Who keeps the loop for 60 ms is seen as a lag of at least that less one tick."""
    lag = LoopLag()
    lag.start()
    time.sleep(0.06)  # noqa: ASYNC251 (the stall that is looked for)
    while not sum(lag.seconds.counts):
        await asyncio.sleep(0)
    lag.stop()
    late = dict(lag.seconds.buckets())
    assert late["+Inf"] - late["0.05"] >= 1
    assert lag.seconds.total >= 0.06 - TICK_SECONDS
