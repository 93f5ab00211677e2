"""The replies of one scan: of all that is left at once, or window by window where that takes too long.

Some filters walk far more than they find: one by the time of an update all of the account, two common terms
of which few contacts have both all of the first. Asked for at once, such a reply outlasts the time of any
operation, and so would each repetition. Within a window the database walks so many contacts and no more.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from service.domain.errors import StoreTimeout
from service.domain.filters import Selection
from service.storage.documents import Document
from service.storage.gate import Gate
from service.storage.indexes import BY_ID, KEYS
from service.storage.queries import Query, flags, of_range, query
from service.storage.replies import ask, is_empty

# Walked in some 50 ms when they are in memory, and a hundredth of what a reply has time for.
WINDOW = 20_000


class Finder:
    """Asks for what a selection matches. `check(index)` raises when an index that is needed is not there."""

    def __init__(
        self,
        contacts: AsyncCollection[Document],
        gate: Gate,
        selection: Selection,
        check: Callable[[str], None],
        window: int | None = None,
    ) -> None:
        self._contacts = contacts
        self._gate = gate
        self._selection = selection
        self._check = check
        self._window = window or WINDOW
        self._in_windows = False

    def walk_in_windows(self) -> None:
        """From now on; by itself it does so once a reply has taken too long."""
        self._in_windows = True

    async def __call__(self, after: str, count: int) -> bytes:
        """At most `count` documents behind the id `after`, as the BSON of a cursor; none only at the end."""
        if not self._in_windows:
            try:
                return await self._asked(query(self._selection, after), count)
            except StoreTimeout:
                self.walk_in_windows()
        while True:
            end = await self._end_of_window(after)
            cursor = await self._asked(query(self._selection, after, end), count)
            if not end or not is_empty(cursor):
                return cursor
            after = end

    async def counts(self) -> AsyncGenerator[int, None]:
        """How many match, in parts, by the database alone: so the filter has no texts."""
        wanted = self._selection.filter
        few = wanted.ids is not None or bool(wanted.fingerprints)
        updated = wanted.updated_after is not None or wanted.updated_before is not None
        all_match = not (few or updated or wanted.may_collide)
        after, end = "", "more"
        while end:
            end = "" if few else await self._end_of_window(after)
            yield self._window if end and all_match else await self._count(query(self._selection, after, end))
            after = end

    async def _count(self, wanted: Query) -> int:
        self._check(wanted.index)
        conditions, hint = wanted.conditions | flags(self._selection.filter), KEYS[wanted.index]
        return await self._gate.run(lambda: self._contacts.count_documents(conditions, hint=hint))

    async def _asked(self, wanted: Query, count: int) -> bytes:
        self._check(wanted.index)
        return await self._gate.run(lambda: ask(self._contacts.database, wanted, count))

    # The id of its last contact; none where the window would reach beyond the end.
    async def _end_of_window(self, after: str) -> str:
        wanted = of_range(self._selection, after)

        def found() -> Awaitable[list[dict[str, Any]]]:
            find = self._contacts.find(wanted.conditions, ["_id"], hint=KEYS[BY_ID], sort=wanted.sort)
            return find.skip(self._window - 1).limit(1).to_list()

        last = await self._gate.run(found)
        return str(last[0]["_id"]) if last else ""
