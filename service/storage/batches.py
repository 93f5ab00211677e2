"""Micro-batches: what many calls want of the database at one moment goes there as one operation.

One driver operation costs this process some 220 us, whether it fetches one contact or sixty-four. The rules:

- A call alone, or with two others, is sent on at once. While a batch is under way, the next one gathers. On
  two lanes, for what keeps the database busy for long, half of the callers are under way while the other half
  is being answered and comes again: else database and service would wait for each other.
- Of more callers it is worth waiting for those that come back as they are answered: until as many are here as
  were around lately, or nobody will come. A look every millisecond tells: the event loop had little to do, so
  nobody is about to be answered; or nobody came for three looks. Nobody waits longer than PATIENCE.
- Callers share a question only before it is sent: no answer is older than the call that it is for.
- A batch belongs to the gate, not to a caller. Who is cancelled leaves; who was cancelled before has asked
  nothing. A batch that fails by what is in it is asked again key by key, and only the guilty one fails;
  weather (a database that is away or slow) is told to all.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from service.domain.errors import ServiceError
from service.storage.gate import Gate

K = TypeVar("K")
V = TypeVar("V")

# ask(keys): the answer of each key that has one.
Ask: TypeAlias = Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]
Waiting: TypeAlias = dict[K, list[asyncio.Future[V | None]]]

MOST_KEYS = 128
# On two cores with 64 calls in flight: 2,120 gets a second without any wait, 3,900 with these. With 1,800
# calls a second that come by chance the median takes 2.8 ms, and 4.1 without: waiting saves time.
FEW = 4
TICK = 0.001
QUIET_TICKS = 3
# A loop that has worked for a smaller part of the last tick is idle. At half of it batches go too soon, with
# 9 callers of 64; at a tenth of it calls that come by chance wait too long.
BUSY = 0.2
PATIENCE = 0.015


class Batches(Generic[K, V]):
    """Asks for many keys at once, on behalf of callers that ask for one each."""

    def __init__(  # noqa: PLR0913 (what the kinds of batches differ in)
        self,
        gate: Gate,
        ask: Ask[K, V],
        most_keys: int = MOST_KEYS,
        *,
        timed: bool = True,
        lanes: int = 1,
        name: str = "batch",
    ) -> None:
        self._gate = gate
        self._name = name
        self._timed = timed
        self._ask = ask
        self._most_keys = most_keys
        # sizes[n]: how many batches had n keys.
        self.sizes = [0] * (most_keys + 1)
        self._waiting: Waiting[K, V] = {}
        self._callers = 0
        self._lanes = lanes
        # Batches, and the callers in them.
        self._under_way = 0
        self._inside = 0
        # How many callers were around at one moment lately.
        self._expected = 1
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0

    async def one(self, key: K) -> V | None:
        """The answer for the key, None when there is none; raises what asking raises."""
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        self._callers += 1
        self._consider()
        if self._gate.trace is None:
            return await future
        with self._gate.trace(self._name):
            return await future

    def _consider(self) -> None:
        full = len(self._waiting) >= self._most_keys
        wanted = self._expected // self._lanes if self._expected >= FEW else 1
        if full or (self._under_way < self._lanes and self._callers >= wanted):
            self._send()
            return
        if self._timer is None:
            self._deadline = asyncio.get_running_loop().time() + PATIENCE
            self._look_again(ticks=0)

    def _look_again(self, ticks: int) -> None:
        look = partial(self._look, self._callers, ticks + 1, time.thread_time())
        self._timer = asyncio.get_running_loop().call_later(TICK, look)

    def _look(self, callers: int, ticks: int, worked: float) -> None:
        if callers != self._callers:
            ticks = 0
        idle = time.thread_time() - worked < BUSY * TICK
        nobody_comes = self._under_way < self._lanes and (idle or ticks >= QUIET_TICKS)
        if nobody_comes:
            self._expected = max(self._callers + self._inside, self._expected // 2)
        if nobody_comes or asyncio.get_running_loop().time() >= self._deadline:
            self._send()
        else:
            self._look_again(ticks)

    def _send(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, {}
        callers, self._callers = self._callers, 0
        wanted = {key: futures for key, futures in waiting.items() if not all(map(_is_done, futures))}
        if wanted:
            self._under_way += 1
            self._inside += callers
            self._start(wanted).add_done_callback(lambda _: self._back(callers))

    def _start(self, waiting: Waiting[K, V]) -> asyncio.Task[None]:
        self.sizes[len(waiting)] += 1
        task = self._gate.own(lambda: self._asked(waiting), timed=self._timed)
        late = None
        if not self._timed:
            late = asyncio.get_running_loop().call_later(self._gate.seconds, self._give_up, waiting)
        task.add_done_callback(partial(self._ended, waiting, late))
        return task

    async def _asked(self, waiting: Waiting[K, V]) -> None:
        answers = await self._ask([*waiting])
        # Here, and not when the task has ended: that is known one turn of the loop later.
        for key, futures in waiting.items():
            answer = answers.get(key)
            for future in futures:
                if not future.done():
                    future.set_result(answer)

    def _give_up(self, waiting: Waiting[K, V]) -> None:
        _fail(waiting, self._gate.too_late())

    def _back(self, callers: int) -> None:
        self._under_way -= 1
        self._expected = min(max(self._expected, self._inside + self._callers), self._most_keys)
        self._inside -= callers
        if self._waiting:
            self._consider()

    def _ended(
        self, waiting: Waiting[K, V], late: asyncio.TimerHandle | None, task: asyncio.Task[None]
    ) -> None:
        if late:
            late.cancel()
        error = task.exception()
        if error and len(waiting) > 1 and not isinstance(error, ServiceError):
            for key, futures in waiting.items():
                self._start({key: futures})
            return
        if error:
            _fail(waiting, error)


def _fail(waiting: Waiting[K, V], error: BaseException) -> None:
    for futures in waiting.values():
        for future in futures:
            if not future.done():
                future.set_exception(error)


def _is_done(future: asyncio.Future[V]) -> bool:
    return future.done()
