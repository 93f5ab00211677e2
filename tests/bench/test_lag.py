"""What the benchmark reads from the metrics of the service."""

from prometheus_client import generate_latest

from bench.lag import LAG, Ticks
from service.ops.lag import LoopLag
from service.ops.metrics import Metrics


def test_the_longest_lag_is_that_of_the_time_between() -> None:
    """What was before does not count, and the figure is the bound that nothing was above."""
    loop, metrics = LoopLag(), Metrics()
    metrics.read(LAG, lambda: loop.seconds)

    def read() -> Ticks:
        return Ticks.of(generate_latest(metrics).decode(), LAG)

    loop.seconds.observe(3.0)
    before = read()
    loop.seconds.observe(0.0001)
    calm = read().since(before)
    assert calm.longest == 1
    loop.seconds.observe(0.03)
    stalled = read().since(before)
    assert stalled.longest == 50
    assert stalled.above(0.01) == "1 of 2"
    assert (calm + stalled).above(0.01) == "1 of 3"
