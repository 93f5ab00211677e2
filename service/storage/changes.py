"""Following the changes of contacts: one change stream of the process for all who watch, none for nobody.

The shared stream keeps what came lately, within bounds, and whoever watches has a position in that. Who is
behind it (an old token, or a reader slower than the changes) reads a stream of its own account's, until what
is kept reaches its position: positions sort as changes happened, so nothing is lost between the two.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from itertools import islice
from types import TracebackType
from typing import Self

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from service.domain import ids, limits
from service.domain.changes import Change, Kind
from service.domain.errors import ServiceError, StoreUnavailable
from service.domain.paging import WatchPosition
from service.storage.documents import Document
from service.storage.gate import Gate
from service.storage.tail import BATCH, Tail

# Each holds a connection while it asks.
_CATCHING_UP_AT_ONCE = 8
_GATHERING_SECONDS = 0.01


class Feed:
    """The shared stream from its first watcher to its last, and the changes of all accounts that it kept."""

    def __init__(self, tail: Tail) -> None:
        self.watchers = 0
        self.has_ended = False
        # Why it ended while somebody watched.
        self.failure: Exception | None = None
        self.news = asyncio.Event()
        self.position = ""
        # Behind which nothing is missing here; none until the stream is open.
        self._start = ""
        self._kept: deque[Change] = deque()
        self._gone: set[str] = set()
        self._size = 0
        self._tail = tail
        self.task = asyncio.create_task(self._follow())

    def reaches(self, position: str) -> bool:
        """Whether all changes behind the position are here, or will come."""
        return bool(self._start) and self._start <= position

    def next_of(self, account: str, position: str) -> Change | None:
        """The first change of an account behind the position; of who is gone only that."""
        first = bisect_right(self._kept, position, key=_position)
        beginning = ids.prefix(account)
        for each in islice(self._kept, first, None):
            if each.contact_id.startswith(beginning) and (
                each.read is None or each.contact_id not in self._gone
            ):
                return each
        return None

    async def _follow(self) -> None:
        try:
            while self.watchers:
                changes = await self._tail.step()
                self._take(changes)
                if 0 < len(changes) < BATCH:
                    # What comes meanwhile comes together: asking for each alone takes half a core.
                    await asyncio.sleep(_GATHERING_SECONDS)
        except (ServiceError, PyMongoError) as error:
            self.failure = error
        finally:
            self.has_ended = True
            self.failure = self.failure or StoreUnavailable()
            self._tell()
            self._tail.close()

    def _take(self, changes: list[Change]) -> None:
        for change in changes:
            self._keep(change)
        self.position = self._tail.position
        self._start = self._start or self.position
        self._tell()

    def _keep(self, change: Change) -> None:
        self._kept.append(change)
        self._size += change.size
        if change.kind is Kind.DELETED:
            self._gone.add(change.contact_id)
        while len(self._kept) > limits.WATCH_KEPT_CHANGES or self._size > limits.WATCH_KEPT_BYTES:
            oldest = self._kept.popleft()
            self._size -= oldest.size
            self._start = oldest.after
            if oldest.kind is Kind.DELETED:
                self._gone.discard(oldest.contact_id)

    def _tell(self) -> None:
        told, self.news = self.news, asyncio.Event()
        told.set()


class Watch:
    """One watcher. Enter it, then ask for one change after the other; `position` is behind the last one."""

    def __init__(self, changes: "Changes", account: str, now: int, start: WatchPosition) -> None:
        self._changes = changes
        self._account = account
        self._now = now
        self._start = start
        self._after = start.after
        self._own: Tail | None = None
        self._read: deque[Change] = deque()

    def __enter__(self) -> Self:
        self._feed = self._changes.feed(self._now)
        self._feed.watchers += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed.watchers -= 1
        self._leave_own()

    @property
    def position(self) -> WatchPosition:
        return WatchPosition(self._after) if self._after else self._start

    async def next(self) -> Change:
        """The next change of the account, whenever it comes.

        Raises ResumeTokenExpired, StoreUnavailable or StoreTimeout.
        """
        while True:
            if self._feed.failure:
                raise self._feed.failure
            if change := self._known():
                self._after = change.after
                return change
            if self._feed.reaches(self._after):
                # Who caught up may be ahead of it.
                self._after = max(self._after, self._feed.position)
                await self._feed.news.wait()
            else:
                await self._read_own()

    def _known(self) -> Change | None:
        if self._read:
            return self._read.popleft()
        if not self._feed.reaches(self._after):
            return None
        # Else it would go on later from where it was left, and tell again what came by the shared one.
        self._leave_own()
        return self._feed.next_of(self._account, self._after)

    async def _read_own(self) -> None:
        own = self._own = self._own or self._changes.own(self._account, self.position)
        self._read.extend(await own.step())
        if not self._read:
            self._after = own.position

    def _leave_own(self) -> None:
        if self._own:
            self._own.close()
            self._own = None


class Changes:
    """What happens to contacts."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        gate: Gate,
        unhurried: Callable[[], AsyncMongoClient[Document]] | None = None,
    ) -> None:
        self._database = database
        self._gate = gate
        self._unhurried = unhurried
        self._patient: AsyncMongoClient[Document] | None = None
        self._current: Feed | None = None
        self._catching_up = asyncio.Semaphore(_CATCHING_UP_AT_ONCE)

    @property
    def is_followed(self) -> bool:
        """Whether there is a shared stream now."""
        return self._current is not None and not self._current.has_ended

    def watch(self, account: str, now: int, start: WatchPosition | None = None) -> Watch:
        """The account's changes behind a position, each contact's in their order, each at least once.

        `now` is the operation time of the database; without a position it is where the watch starts.
        """
        return Watch(self, account, now, start or WatchPosition(operation_time=now))

    def feed(self, now: int) -> Feed:
        """The shared stream, begun for its first watcher."""
        if self._current is None or self._current.has_ended:
            # With what was written last: who has read just that has to be reached, with nothing new to come.
            start = WatchPosition(operation_time=now - 1)
            self._current = Feed(Tail(self._database, self._gate, asyncio.Semaphore(), start))
        return self._current

    def own(self, account: str, start: WatchPosition) -> Tail:
        """A stream of one account's from a position."""
        # From an old position to the first change of the account the database may read for minutes.
        if self._patient is None and self._unhurried:
            self._patient = self._unhurried()
        database = self._patient[self._database.name] if self._patient else self._database
        return Tail(database, self._gate, self._catching_up, start, account)

    async def stop(self) -> None:
        """Returns when the shared stream has ended, which it does when nobody watches."""
        if self._current:
            await asyncio.wait({self._current.task})

    async def close(self) -> None:
        """Closes the client of its own; behind everything else."""
        if self._patient:
            await self._patient.close()


def _position(change: Change) -> str:
    return change.after
