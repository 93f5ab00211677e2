"""The sweeper of a replica: takes deletions whose owner let its time pass, and looks again for late rows.

Each replica has one. Two that look at once share the work: a job is leased by one of them.
"""

import asyncio
import logging
import random

from pymongo.errors import PyMongoError

from service.domain.deletion import Receipt
from service.domain.errors import ServiceError, StoreUnavailable
from service.storage.deletion import Deletions

log = logging.getLogger(__name__)

_JOBS_AT_ONCE = 8
_REMINDER_SECONDS = 60.0


class Sweeper:
    """Looks every few seconds. `open_jobs`: deletions of all replicas that had not ended at the last look."""

    def __init__(self, deletions: Deletions) -> None:
        self._deletions = deletions
        self._working: set[asyncio.Task[Receipt | None]] = set()
        self._told = float("-inf")
        self.open_jobs = 0

    async def follow(self) -> None:
        """Runs until it is cancelled. A database that is away is the matter of the next look."""
        is_first = True
        while True:
            try:
                await self.look()
                if is_first:
                    is_first = False
                    await self._look_for_indexes()
            except StoreUnavailable:
                # Who follows the database tells of its absence.
                pass
            except (ServiceError, PyMongoError) as error:
                self._remind(type(error).__name__)
            # Not all replicas at the same moment.
            await asyncio.sleep(self._deletions.rules.look_seconds * random.uniform(0.8, 1.2))  # noqa: S311

    async def look(self) -> None:
        """Begins what is due, as much as there is room for."""
        room = _JOBS_AT_ONCE - len(self._working)
        for account, contact_id in await self._deletions.jobs.due(room) if room else ():
            if work := await self._deletions.take_due(account, contact_id):
                self._working.add(work)
                work.add_done_callback(self._working.discard)
        self.open_jobs = await self._deletions.jobs.count_open()

    async def _look_for_indexes(self) -> None:
        async for command in self._deletions.rows.unindexed():
            log.warning("deletions would read a whole linked collection", extra={"indexes": command})

    def _remind(self, error: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told >= _REMINDER_SECONDS:
            self._told = now
            log.warning("the sweeper cannot look for deletions to finish", extra={"error": error})
