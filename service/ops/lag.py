"""How late the event loop is: a timer that should come every 5 ms, and when it does.

Whatever keeps the loop for longer than a tick shows here, a stall of twelve milliseconds as a lag of seven at
least. Its processor time between two ticks tells whether it was at work meanwhile or had no processor.
"""

import asyncio
import time

from service.ops.metrics import Histogram

# A loop at work pays some 3 us a tick, an idle one that is woken for it 2 % of a core.
TICK_SECONDS = 0.005
BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class LoopLag:
    """Ticks in the running loop from `start` to `stop`."""

    def __init__(self) -> None:
        self.seconds = Histogram(*BOUNDS)
        self.work = Histogram(*BOUNDS)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._next()

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _next(self) -> None:
        due = time.perf_counter() + TICK_SECONDS
        later = asyncio.get_running_loop().call_later
        self._timer = later(TICK_SECONDS, self._tick, due, time.thread_time())

    def _tick(self, due: float, worked: float) -> None:
        self.seconds.observe(max(0.0, time.perf_counter() - due))
        self.work.observe(time.thread_time() - worked)
        self._next()
