"""The sweeper of a replica: takes deletions whose owner let its time pass, and looks again for late rows.

Each replica has one. Two that look at once share the work: an open job is leased by one of them. What it did
not expect it tells by its type, and looks again: it must end neither the server nor what others wait for.
"""

import asyncio
import logging
import random
from itertools import groupby

from service.domain.deletion import Receipt
from service.domain.errors import ServiceError, StoreTimeout
from service.storage.deletion import Deletions
from service.storage.gate import untold
from service.storage.jobs import Due, Open

log = logging.getLogger(__name__)

_OPEN_AT_ONCE = 8
# Rows of ended deletions are looked for together: most often there are none, for any of them.
_ENDED_AT_ONCE = 200
_REMINDER_SECONDS = 60.0


class Sweeper:
    """Looks every few seconds. `open`: deletions of all replicas that had not ended at the last look."""

    def __init__(self, deletions: Deletions) -> None:
        self._deletions = deletions
        self._jobs = deletions.jobs
        self._working: set[asyncio.Task[Receipt | None]] = set()
        self._told = float("-inf")
        self.open = Open()

    async def follow(self) -> None:
        """Runs until it is cancelled. A database that is away is the matter of the next look."""
        is_first = True
        while True:
            is_behind = False
            try:
                is_behind = await self.look()
                if is_first:
                    await self._look_for_indexes()
                    is_first = False
            except StoreTimeout:
                pass  # The database is slow, which readiness tells.
            except Exception as error:  # noqa: BLE001 (the server would end with it)
                self._remind(error)
            await self._pause(is_behind)

    async def look(self) -> bool:
        """Takes open jobs that are due, looks for late rows; True when there may be more to do."""
        room = _OPEN_AT_ONCE - len(self._working)
        opened = await self._jobs.due_open(room) if room else []
        for job in opened:
            await self._take(job)
        self.open = await self._jobs.open_now()
        ended = await self._jobs.due_ended(_ENDED_AT_ONCE)
        accounts = groupby(sorted(ended, key=_account), _account)
        looked = [await self._look_again(account, list(jobs)) for account, jobs in accounts]
        return len(opened) == room or (len(ended) == _ENDED_AT_ONCE and all(looked))

    async def _take(self, job: Due) -> None:
        if work := await self._deletions.take_due(job.account, job.contact_id):
            self._working.add(work)
            work.add_done_callback(self._taken)

    def _taken(self, work: asyncio.Task[Receipt | None]) -> None:
        self._working.discard(work)
        if isinstance(error := None if work.cancelled() else work.exception(), Exception):
            self._remind(error)

    async def _look_again(self, account: str, ended: list[Due]) -> bool:
        try:
            await self._sweep_again(account, ended)
        except ServiceError:
            raise
        except Exception as error:  # noqa: BLE001 (what is odd in one account is no other's matter)
            self._remind(error)
            return False
        return True

    async def _sweep_again(self, account: str, ended: list[Due]) -> None:
        if not await self._deletions.rows.any(account, [job.contact_id for job in ended]):
            await self._jobs.postpone(ended)
            return
        for job in ended:
            if work := await self._deletions.take_due(account, job.contact_id):
                await work

    async def _pause(self, is_behind: bool) -> None:
        seconds = self._deletions.rules.look_seconds
        if not is_behind:
            # Not all replicas at the same moment.
            await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 (jitter)
        elif self._working:
            await asyncio.wait(self._working, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def _look_for_indexes(self) -> None:
        for command in await self._deletions.rows.unindexed():
            log.warning("deletions would read a whole linked collection", extra={"indexes": command})

    def _remind(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if (cause := untold(error)) and now - self._told >= _REMINDER_SECONDS:
            self._told = now
            log.warning("the sweeper cannot look for deletions to finish", extra={"error": cause})


def _account(job: Due) -> str:
    return job.account
