"""Deletion for good: the job first, the contact second, then the linked rows in batches that can be repeated.

Whoever dies in between leaves an open job; whoever finds its time passed takes it and rolls forward. A batch
is written into the job before it is begun: done twice it removes nothing more, and is counted once.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson.errors import BSONError
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from service.domain import ids
from service.domain.contact import Contact
from service.domain.deletion import Receipt, Rules, Step
from service.domain.errors import (
    ContactNotFound,
    DeleteRestricted,
    EtagMismatch,
    ServiceError,
    StoreUnavailable,
    WriteConflict,
)
from service.domain.links import Action, Link
from service.storage import indexes, linked_rows, rounds
from service.storage.by_key import ContactsByKey
from service.storage.documents import Document
from service.storage.gate import Gate, untold
from service.storage.job import Batch, Job
from service.storage.jobs import Jobs, LeaseLost
from service.storage.linked_rows import LinkedRows

log = logging.getLogger(__name__)

# A receipt is COMPLETE at once where there are no rows to wait for.
_AS_LONG_AS_IT_TAKES = None


class Deletions:
    """Deletes contacts with what is linked to them, and finishes what others began."""

    def __init__(
        self, database: AsyncDatabase[Document], by_key: ContactsByKey, gate: Gate, rules: Rules
    ) -> None:
        # A job holds `_id`s of rows, too.
        jobs = database.get_collection(indexes.DELETIONS, codec_options=linked_rows.ANY_ID)
        self.jobs = Jobs(jobs, gate, rules)
        self.rows = LinkedRows(database, gate, rules.links)
        self.rules = rules
        self._contacts = database[indexes.CONTACTS]
        self._latest = self._contacts.with_options(read_concern=ReadConcern("local"))
        self._by_key = by_key
        self._gate = gate
        self._working: set[asyncio.Task[Receipt | None]] = set()
        self._stopping = False

    async def delete(
        self, account: str, contact_id: str, etag: str, patience: float, *, allow_missing: bool
    ) -> Receipt | None:
        """See Store.delete."""
        answer_by = asyncio.get_running_loop().time() + patience
        if allow_missing and contact_id and not ids.is_wellformed(contact_id):
            return None
        if await self._remove(account, ids.owned(account, contact_id), etag):
            with _behind_an_open_job():
                self.rules.reached(Step.REMOVED)
                job = await self.jobs.lease(account, contact_id)
                return await self._answered(job, account, contact_id, answer_by)
        job = await self.jobs.take_open(account, contact_id)
        if not allow_missing:
            if job:
                self._begun(job)
            raise ContactNotFound
        return await self._answered(job, account, contact_id, answer_by)

    async def take_due(self, account: str, contact_id: str) -> "asyncio.Task[Receipt | None] | None":
        """The work on a job whose time has passed, begun; None when another replica was faster."""
        job = await self.jobs.take_due(account, contact_id)
        return self._begun(job) if job else None

    async def stop(self) -> None:
        """Returns when no job is worked on any more: each is given back after its batch."""
        self._stopping = True
        while self._working:
            await asyncio.wait(self._working)

    async def _remove(self, account: str, contact_id: str, etag: str) -> bool:
        """Removes the contact, with the job open; False when it is gone. After other errors it may be either.

        What is raised when it stays as it is: EtagMismatch, DeleteRestricted, WriteConflict.
        """
        for attempt in range(rounds.ROUNDS):
            stored = await self._by_key.by_id(account, contact_id)
            if stored is None:
                return False
            found = stored.contact
            if etag and etag != found.etag:
                raise EtagMismatch
            await self.rows.check_unrestricted(account, contact_id)
            rev = found.rev if etag else None
            if not await self._open(account, contact_id, rev):
                return False
            with _behind_an_open_job():
                self.rules.reached(Step.OPENED)
                if await self._removed_or_withdrawn(account, found, rev):
                    return True
            # Deleted by somebody else, or it has another fingerprint now.
            await rounds.pause(attempt)
        raise WriteConflict

    async def _open(self, account: str, contact_id: str, rev: int | None) -> bool:
        """False when the contact was removed since it was read: the job is of that deletion, and stays so."""
        while earlier := await self.jobs.open(account, contact_id, rev):
            if not await self._is_there(account, contact_id):
                return False
            if await self.jobs.begin_anew(earlier, rev):
                return True
        return True

    async def _is_there(self, account: str, contact_id: str) -> bool:
        # Not as a majority has it, which may be late: as a removal would find it.
        contact = {"_id": contact_id, "account": account}
        return await self._gate.run(lambda: self._latest.find_one(contact, ["_id"])) is not None

    async def _removed_or_withdrawn(self, account: str, found: Contact, rev: int | None) -> bool:
        """No hold on the job outlives a contact that stays: a sweeper would carry out what was refused."""
        is_removed = False
        try:
            # Again, as late as can be: a row that comes after this look does not forbid any more.
            await self.rows.check_unrestricted(account, found.id)
            is_removed = await self._removed(account, found, rev)
        except DeleteRestricted:
            await self.jobs.withdraw(account, found.id)
            raise
        if not is_removed:
            await self.jobs.withdraw(account, found.id)
        return is_removed

    async def _removed(self, account: str, found: Contact, rev: int | None) -> bool:
        # With the fingerprint, as every write: it is what a sharded cluster routes by.
        key: dict[str, Any] = {"_id": found.id, "account": account, "fingerprint": found.fingerprint}
        guard = {} if rev is None else {"rev": rev}
        result = await self._gate.run(lambda: self._contacts.delete_one(key | guard))
        return result.deleted_count == 1

    async def _answered(
        self, job: Job | None, account: str, contact_id: str, answer_by: float
    ) -> Receipt | None:
        if job:
            work = self._begun(job)
            patience = max(0.0, answer_by - asyncio.get_running_loop().time())
            await asyncio.wait({work}, timeout=patience if self.rows.cleared else _AS_LONG_AS_IT_TAKES)
            if work.done() and (receipt := work.result()):
                return receipt
        return await self.jobs.receipt(account, contact_id)

    def _begun(self, job: Job) -> "asyncio.Task[Receipt | None]":
        self.rules.reached(Step.LEASED)
        work = asyncio.create_task(self._work(job))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        return work

    async def _work(self, job: Job) -> Receipt | None:
        try:
            return await self._finished(job)
        except LeaseLost:
            return None
        except (ServiceError, PyMongoError, BSONError) as error:
            # Nothing is lost: the job is taken again when its time has passed.
            if cause := untold(error):
                log.warning("a deletion waits", extra={"account": job.account, "error": cause})
            return None

    async def _finished(self, job: Job) -> Receipt | None:
        if not await self._is_gone(job):
            return None
        if job.holders is not None:
            job = await self.jobs.let_go(job)
        if job.batch:
            job = await self._recounted(job, job.batch)
        is_clean = False
        while not is_clean:
            is_clean = True
            for link in self.rows.cleared:
                job = await self.jobs.keep(job)
                while row_ids := await self._some(link, job):
                    is_clean = False
                    job = await self._cleared(job, link, row_ids)
                    if self._stopping:
                        await self.jobs.release(job)
                        return None
        self.rules.reached(Step.CLEAN)
        receipt = await self.jobs.finish(job)
        self.rules.reached(Step.FINISHED)
        return receipt

    async def _is_gone(self, job: Job) -> bool:
        """True once there is no contact any more. One that stays, or was brought back, ends the job."""
        while found := await self._by_key.by_id(job.account, job.contact_id):
            if job.finished_at:
                await self.jobs.finish(job, sweep=False)
                return False
            is_outdated = job.rev not in {None, found.contact.rev}
            if job.holders == 0 or is_outdated or await self._is_restricted(job):
                await self.jobs.drop(job)
                return False
            if await self._removed(job.account, found.contact, job.rev):
                return True
        return True

    async def _is_restricted(self, job: Job) -> bool:
        try:
            await self.rows.check_unrestricted(job.account, job.contact_id)
        except DeleteRestricted:
            return True
        return False

    async def _some(self, link: Link, job: Job) -> list[Any]:
        return await self.rows.some(link, job.account, job.contact_id, self.rules.batch_rows)

    async def _cleared(self, job: Job, link: Link, row_ids: list[Any]) -> Job:
        job = await self.jobs.note(job, Batch(link, row_ids))
        self.rules.reached(Step.NOTED)
        rows = await self.rows.clear(link, job.account, job.contact_id, row_ids)
        self.rules.reached(Step.CLEARED)
        job = await self.jobs.count(job, link, rows)
        self.rules.reached(Step.COUNTED)
        return job

    async def _recounted(self, job: Job, batch: Batch) -> Job:
        # Nobody knows how far its first owner came: what is cleared now was cleared by one of the two.
        await self.rows.clear(batch.link, job.account, job.contact_id, batch.row_ids)
        there = await self.rows.count_there(batch.link, job.account, batch.row_ids)
        was_removed = batch.link.action == Action.CASCADE
        return await self.jobs.count(job, batch.link, len(batch.row_ids) - there if was_removed else there)


@contextmanager
def _behind_an_open_job() -> Iterator[None]:
    # A database that is found away here has been asked: the job will be done.
    try:
        yield
    except StoreUnavailable as error:
        error.asked = True
        raise
