"""The gate before the driver: no task of a call ever awaits PyMongo itself.

A cancelled driver operation can deadlock PyMongo's pool for ever (CPython 3.11, PyMongo 4.20). So each runs
in a task of the server's own that nobody cancels, with a deadline that the driver keeps by itself, behind a
semaphore smaller than the pool: cancelled callers leave at once, what they began ends in its own time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import pymongo
from pymongo.errors import (
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from service.domain.errors import ServiceError, StoreTimeout, StoreUnavailable

T = TypeVar("T")

# A missing right, credentials that are not taken (Atlas has a code of its own): the operator's matter, no bug
# and no caller's fault.
_REFUSALS = {13, 18, 8000}
_REFUSED = "The database refuses the service's user a right that it needs; its operator can grant it."
# Members that do not reach each other, or are in an election: a read may be repeated, says MongoDB's
# specification of retryable reads. Its other codes come as AutoReconnect.
TRANSIENT = frozenset({6, 7, 89, 134, 262, 9001})

# Measured on two cores: more operations at once only queue inside mongod.
SLOTS = 64
POOL_SIZE = SLOTS + 16


class Gate:
    """Runs driver operations. Raises StoreTimeout, StoreUnavailable, and DuplicateKeyError as it comes."""

    def __init__(self, slots: int = SLOTS, seconds: float = 5.0) -> None:
        self.most = slots
        self._slots = asyncio.Semaphore(slots)
        self.seconds = seconds
        # How long operations took, for whoever wants to know, and how many are under way.
        self.took: Callable[[float], object] = _nobody_asks
        self.under_way = 0
        # Around what a call waits for here, where traces are on.
        self.trace: Callable[[str], AbstractContextManager[object]] | None = None
        self._running: set[asyncio.Task[object]] = set()
        self._answers = True
        # After a look in vain: nobody waits for a database that is known to be away. Counted while it is.
        self._is_shut = False
        self.refused = 0

    async def look(self, operation: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        """As `run`, whatever the last look found, and without a slot, since those may all be stuck.

        Between a look that fails and the next that does not, all others fail at once with StoreUnavailable.
        Whatever the driver says to a look, the next one may find it gone: that is StoreUnavailable, too.
        """
        task = self._task(self._operated(operation, seconds or self.seconds, holds_slot=False))
        try:
            result = await asyncio.shield(task)
        except ServiceError:
            self._is_shut = True
            raise
        except PyMongoError as error:
            self._is_shut = True
            raise StoreUnavailable from error
        self._is_shut, self.refused = False, 0
        return result

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """The operation's result. A caller cancelled while waiting for a slot has begun nothing."""
        await self._slot()
        task = self._task(self._operated(operation, self.seconds))
        if self.trace is None:
            return await asyncio.shield(task)
        with self.trace("operation"):
            return await asyncio.shield(task)

    def own(self, operation: Callable[[], Awaitable[T]], *, timed: bool = True) -> asyncio.Task[T]:
        """The operation as a task that waits for its slot itself, for what belongs to no single caller.

        Without `timed` the driver keeps no time, which saves it a sixth of an operation: then the operation
        says itself how long the database may work, and who waits for it how long they wait.
        """
        return self._task(self._queued(operation, self.seconds if timed else None))

    def aside(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """The operation as a task, for what waits in the database for news: no slot, no deadline, no count.

        Errors come as the driver raises them. Whoever awaits it shields it.
        """
        return self._task(operation())

    def too_late(self) -> ServiceError:
        """What it means that nothing came in time: the database is slow or, by what was last seen, away."""
        return StoreTimeout() if self._answers else StoreUnavailable()

    async def drained(self) -> None:
        """Returns when no operation runs any more; each ends by its own deadline."""
        while self._running:
            await asyncio.wait(self._running)

    async def _slot(self) -> None:
        if self._is_shut:
            self.refused += 1
            raise StoreUnavailable(asked=False)
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(self.seconds):
                await self._slots.acquire()
        except TimeoutError as error:
            raise self.too_late() from error

    def _task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _queued(self, operation: Callable[[], Awaitable[T]], seconds: float | None) -> T:
        await self._slot()
        return await self._operated(operation, seconds)

    async def _operated(
        self, operation: Callable[[], Awaitable[T]], seconds: float | None, *, holds_slot: bool = True
    ) -> T:
        self.under_way += 1
        began = time.perf_counter()
        try:
            if seconds is None:
                result = await operation()
            else:
                with pymongo.timeout(seconds):
                    result = await operation()
        except DuplicateKeyError:
            raise
        except PyMongoError as error:
            if weather := self.weather(error):
                raise weather from error
            raise
        finally:
            self.under_way -= 1
            self.took(time.perf_counter() - began)
            if holds_slot:
                self._slots.release()
        self._answers = True
        return result

    def weather(self, error: PyMongoError) -> ServiceError | None:
        """What the error means; None when neither a slow nor an absent database explains it."""
        code = error.code if isinstance(error, OperationFailure) else None
        if code in _REFUSALS:
            return StoreUnavailable(_REFUSED, refused=True)
        away = isinstance(error, ServerSelectionTimeoutError) or code in TRANSIENT
        if error.timeout and not away:
            return StoreTimeout()
        if away or isinstance(error, ConnectionFailure) or error.has_error_label("RetryableWriteError"):
            self._answers = False
            return StoreUnavailable()
        return None

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Looked at, so that an error whose caller has left is not reported as forgotten.
            task.exception()


def untold(error: Exception) -> str | None:
    """What a log line says of an error; None of a database that is away, since readiness tells that."""
    if isinstance(error, StoreUnavailable):
        return "a missing right" if error.refused else None
    return type(error).__name__


def _nobody_asks(_: float) -> None:
    pass
