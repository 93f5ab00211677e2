"""Deletion jobs: one document for each contact that is being deleted or was, with who works on it until when.

Whoever works on a job has leased it under a name used once. Every write names the owner, so that one who was
overtaken (a process that was stopped and woke up) changes nothing any more.
"""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from service.domain import deletion
from service.domain.deletion import Receipt, Rules
from service.domain.links import Link
from service.storage import clock
from service.storage.documents import Document
from service.storage.gate import Gate
from service.storage.job import Batch, Job

_MOST_COUNTED = 10_000
# What a job has only while its contact may still be there.
_HOLD: Document = {"holders": 1, "rev": 1}


class LeaseLost(Exception):
    """Somebody else has the job by now."""


@dataclass(frozen=True, slots=True)
class Due:
    """A job that is due, and was when it was seen."""

    account: str
    contact_id: str
    due_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Open:
    """Jobs that have not ended: how many, and the age of the oldest in seconds."""

    count: int = 0
    oldest_seconds: float = 0.0


class Jobs:
    """The jobs of all accounts. What changes a leased job raises LeaseLost."""

    def __init__(self, collection: AsyncCollection[Document], gate: Gate, rules: Rules) -> None:
        self._jobs = collection
        self._gate = gate
        self._rules = rules

    async def open(self, account: str, contact_id: str, rev: int | None) -> Job | None:
        """Writes the job down, or joins it: deletions of one contact at once share it, and it counts them.

        A job that nobody holds is of a deletion that removed its contact, and may have ended: it is returned
        and left as it is.
        """
        while True:
            born = self._born(account, rev)
            # By _id alone: only then does MongoDB itself try again when two upserts meet (else E11000).
            found = await self._updated({"_id": contact_id}, {"$setOnInsert": born}, upsert=True, after=False)
            if not found:
                return None
            if found.get("finished_at") or found.get("holders") is None:
                return self._job(found)
            join: Document = {"$inc": {"holders": 1}, "$max": {"due_at": born["due_at"]}}
            if rev is None:
                join["$unset"] = {"rev": 1}
            if await self._updated(_held(account, contact_id), join):
                return None

    async def begin_anew(self, earlier: Job, rev: int | None) -> bool:
        """Makes the job of an earlier deletion that of one to come: its contact was brought back since.

        False when another deletion did so meanwhile.
        """
        seen = {
            "_id": earlier.contact_id,
            "account": earlier.account,
            "started_at": earlier.started_at,
            "finished_at": earlier.finished_at,
            "holders": earlier.holders,
        }
        forgotten = {"$unset": {"finished_at": 1, "counts": 1, "batch": 1, "owner": 1}}
        anew = {"$set": self._born(earlier.account, rev)}
        return await self._updated(seen, anew | forgotten) is not None

    async def withdraw(self, account: str, contact_id: str) -> None:
        """Lets go of a job whose contact turned out to stay; the last one takes it back.

        A job that somebody has by now, or that nobody holds since its contact is gone, stays as it is.
        """
        free = _held(account, contact_id) | {"owner": None}
        left = await self._updated(free, {"$inc": {"holders": -1}})
        if left and not left["holders"]:
            await self._gate.run(lambda: self._jobs.delete_one(free | {"holders": 0}))

    async def lease(self, account: str, contact_id: str) -> Job | None:
        """The open job, for the one that removed the contact; None when somebody was faster.

        A job that was taken back in the meantime is written again.
        """
        nobodys = {"finished_at": {"$exists": False}, "owner": {"$exists": False}}
        change = {"$unset": _HOLD, "$setOnInsert": {"started_at": clock.now()}}
        try:
            return await self._leased({"_id": contact_id, "account": account} | nobodys, change, upsert=True)
        except DuplicateKeyError:
            return None

    async def let_go(self, job: Job) -> Job:
        """Lets nobody hold the job any more: its contact is gone."""
        return replace(await self._changed(job, {"$unset": _HOLD}), holders=None, rev=None)

    async def take_open(self, account: str, contact_id: str) -> Job | None:
        """The open job, when whoever had it let its time pass."""
        late = {"$not": {"$gt": clock.now()}}
        return await self._leased(
            {"_id": contact_id, "account": account, "finished_at": None, "due_at": late}, {}
        )

    async def take_due(self, account: str, contact_id: str) -> Job | None:
        """The job, open or to be looked at again, when it is due and nobody was faster."""
        return await self._leased(
            {"_id": contact_id, "account": account, "due_at": {"$lte": clock.now()}}, {}
        )

    async def due_open(self, most: int) -> list[Due]:
        """Open jobs to take, the longest due first. With `due_ended` the only query over all accounts."""
        return await self._due({"finished_at": None}, most)

    async def due_ended(self, most: int) -> list[Due]:
        """Jobs whose rows are to be looked for again, the longest due first."""
        return await self._due({"finished_at": {"$ne": None}}, most)

    async def postpone(self, ended: list[Due]) -> None:
        """Makes jobs without rows due for their next late sweep, but for those taken meanwhile."""
        now = clock.now()
        changes = []
        for job in ended:
            due = self._rules.next_sweep(job.finished_at or now, now)
            seen = {"_id": job.contact_id, "account": job.account, "due_at": job.due_at}
            changes.append(UpdateOne(seen, {"$set": {"due_at": due}} if due else {"$unset": {"due_at": 1}}))
        await self._gate.run(lambda: self._jobs.bulk_write(changes, ordered=False))

    async def open_now(self) -> Open:
        """Jobs that have not ended, looked at up to ten thousand."""
        pipeline: list[Document] = [
            {"$match": {"finished_at": None}},
            {"$limit": _MOST_COUNTED},
            {"$group": {"_id": None, "count": {"$sum": 1}, "oldest": {"$min": "$started_at"}}},
        ]

        async def asked() -> list[Document]:
            return await (await self._jobs.aggregate(pipeline)).to_list()

        for found in await self._gate.run(asked):
            return Open(found["count"], max(0.0, (clock.now() - found["oldest"]).total_seconds()))
        return Open()

    async def receipt(self, account: str, contact_id: str) -> Receipt | None:
        found = await self._gate.run(lambda: self._jobs.find_one({"_id": contact_id, "account": account}))
        return self._job(found).receipt if found else None

    async def keep(self, job: Job) -> Job:
        """The job, leased for longer when half of its time has passed."""
        if job.until - clock.now() > self._rules.lease / 2:
            return job
        return await self._changed(job, {})

    async def note(self, job: Job, batch: Batch) -> Job:
        """Writes a batch down before it is begun, so that whoever goes on can count it."""
        noted = {"$set": {"batch": batch.document}}
        return replace(await self._changed(job, noted), batch=batch)

    async def count(self, job: Job, link: Link, rows: int) -> Job:
        """Counts what a batch did, and forgets the batch."""
        after = replace(job, counts=deletion.added(job.counts, link, rows), batch=None)
        counted = {"$set": {"counts": after.counts_document}, "$unset": {"batch": 1}}
        return replace(after, until=(await self._changed(job, counted)).until)

    async def finish(self, job: Job, *, sweep: bool = True) -> Receipt:
        """Ends the lease of a job without rows; it is due again for the next late sweep, if there is one."""
        now = clock.now()
        finished_at = job.finished_at or now
        values: Document = {"finished_at": finished_at}
        gone: Document = {"owner": 1, "due_at": 1} | _HOLD
        if job.counts:
            values["counts"] = job.counts_document
        if sweep and (due := self._rules.next_sweep(finished_at, now)):
            values["due_at"] = due
            del gone["due_at"]
        await self._change(job, {"$set": values, "$unset": gone})
        return replace(job, finished_at=finished_at).receipt

    async def release(self, job: Job) -> None:
        """Gives the job back as it is; it is due at once."""
        await self._change(job, {"$set": {"due_at": clock.now()}, "$unset": {"owner": 1}})

    async def drop(self, job: Job) -> None:
        """Takes back a job whose contact stays, unless another deletion has joined it meanwhile."""
        alone = _owned(job) | {"holders": job.holders}
        await self._gate.run(lambda: self._jobs.delete_one(alone))

    async def _due(self, conditions: Document, most: int) -> list[Due]:
        due = {"due_at": {"$lte": clock.now()}} | conditions
        found = self._gate.run(lambda: self._jobs.find(due).sort("due_at").limit(most).to_list())
        return [Due(job["account"], job["_id"], job["due_at"], job.get("finished_at")) for job in await found]

    def _born(self, account: str, rev: int | None) -> Document:
        now = clock.now()
        born = {"account": account, "started_at": now, "due_at": now + self._rules.lease, "holders": 1}
        return born if rev is None else born | {"rev": rev}

    async def _leased(self, conditions: Document, change: Document, *, upsert: bool = False) -> Job | None:
        until = clock.now() + self._rules.lease
        lease = {"$set": {"owner": secrets.token_hex(8), "due_at": until}}
        found = await self._updated(conditions, lease | change, upsert=upsert)
        return self._job(found) if found else None

    async def _changed(self, job: Job, change: Document) -> Job:
        until = clock.now() + self._rules.lease
        values = {"$set": {**change.get("$set", {}), "due_at": until}}
        await self._change(job, change | values)
        return replace(job, until=until)

    async def _change(self, job: Job, change: Document) -> None:
        result = await self._gate.run(lambda: self._jobs.update_one(_owned(job), change))
        if not result.matched_count:
            raise LeaseLost

    async def _updated(
        self, conditions: Document, change: Document, *, upsert: bool = False, after: bool = True
    ) -> Any:
        which = ReturnDocument.AFTER if after else ReturnDocument.BEFORE
        return await self._gate.run(
            lambda: self._jobs.find_one_and_update(conditions, change, upsert=upsert, return_document=which)
        )

    def _job(self, document: Document) -> Job:
        return Job.of(document, self._rules.links)


def _held(account: str, contact_id: str) -> Document:
    return {"_id": contact_id, "account": account, "finished_at": None, "holders": {"$ne": None}}


def _owned(job: Job) -> Document:
    return {"_id": job.contact_id, "account": job.account, "owner": job.owner}
