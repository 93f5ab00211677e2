"""Deletion jobs: one document for each contact that is being deleted or was, with who works on it until when.

A job holds account, id, times and counts, and while a batch is under way the `_id`s of its rows; nothing
else. Whoever works on a job has leased it under a name used once. Every write names the owner, so that one
who was overtaken (a process that was stopped and woke up) changes nothing any more.
"""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from service.domain import deletion
from service.domain.deletion import CollectionCount, Receipt, Rules
from service.domain.links import Action, Link
from service.storage import clock
from service.storage.documents import Document
from service.storage.gate import Gate

_MOST_COUNTED = 10_000


class LeaseLost(Exception):
    """Somebody else has the job by now."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that the owner of a job was about to clear."""

    link: Link
    row_ids: list[Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A leased job. `rev`: the contact goes only while it has this revision; None: whatever it has."""

    account: str
    contact_id: str
    owner: str
    until: datetime
    started_at: datetime
    finished_at: datetime | None
    holders: int | None
    rev: int | None
    batch: Batch | None
    counts: tuple[CollectionCount, ...]

    @property
    def receipt(self) -> Receipt:
        return Receipt(self.contact_id, self.started_at, self.finished_at, self.counts)


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

    async def open(self, account: str, contact_id: str, rev: int | None) -> None:
        """Writes the job down. Deletions of one contact at once share it, and it counts them.

        The job of an earlier deletion (the contact was brought back since) begins anew.
        """
        now = clock.now()
        born: Document = {"account": account, "started_at": now}
        change: Document = {"$inc": {"holders": 1}, "$max": {"due_at": now + self._rules.lease}}
        if rev is None:
            change["$unset"] = {"rev": 1}
        else:
            born["rev"] = rev
        change["$setOnInsert"] = born
        # By _id alone: only then does MongoDB itself try again when two upserts meet (else E11000).
        found = await self._updated({"_id": contact_id}, change, upsert=True)
        if found and found.get("finished_at"):
            earlier = {"_id": contact_id, "account": account, "finished_at": found["finished_at"]}
            anew = {"$set": {"started_at": now, "due_at": now + self._rules.lease}}
            cleared = {"$unset": {"finished_at": 1, "counts": 1, "batch": 1, "owner": 1}}
            await self._updated(earlier, anew | cleared)

    async def withdraw(self, account: str, contact_id: str) -> None:
        """Lets go of a job whose contact turned out to stay; the last one takes it back."""
        unfinished = {"_id": contact_id, "account": account, "finished_at": None}
        await self._gate.run(lambda: self._jobs.update_one(unfinished, {"$inc": {"holders": -1}}))
        idle = unfinished | {"holders": {"$lte": 0}, "owner": None}
        await self._gate.run(lambda: self._jobs.delete_one(idle))

    async def lease(self, account: str, contact_id: str) -> Job | None:
        """The open job, for the one that removed the contact; None when somebody was faster."""
        return await self._leased(
            {"_id": contact_id, "account": account, "finished_at": None, "owner": None},
            {"$unset": {"holders": 1, "rev": 1}},
        )

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
        link = batch.link
        stored = {"link": [link.collection, link.account_field, link.contact_field, link.action.value]}
        noted = {"$set": {"batch": stored | {"row_ids": batch.row_ids}}}
        return replace(await self._changed(job, noted), batch=batch)

    async def count(self, job: Job, link: Link, rows: int) -> Job:
        """Counts what a batch did, and forgets the batch."""
        counts = deletion.added(job.counts, link, rows)
        counted = {"$set": {"counts": [_count_document(each) for each in counts]}, "$unset": {"batch": 1}}
        return replace(await self._changed(job, counted), counts=counts, batch=None)

    async def finish(self, job: Job, *, sweep: bool = True) -> Receipt:
        """Ends the lease of a job without rows; it is due again for the next late sweep, if there is one."""
        now = clock.now()
        finished_at = job.finished_at or now
        values: Document = {"finished_at": finished_at}
        gone: Document = {"owner": 1, "holders": 1, "rev": 1, "due_at": 1}
        if job.counts:
            values["counts"] = [_count_document(each) for each in job.counts]
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

    async def _leased(self, conditions: Document, change: Document) -> Job | None:
        until = clock.now() + self._rules.lease
        lease = {"$set": {"owner": secrets.token_hex(8), "due_at": until}}
        found = await self._updated(conditions, lease | change)
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

    async def _updated(self, conditions: Document, change: Document, *, upsert: bool = False) -> Any:
        after = ReturnDocument.AFTER
        return await self._gate.run(
            lambda: self._jobs.find_one_and_update(conditions, change, upsert=upsert, return_document=after)
        )

    def _job(self, document: Document) -> Job:
        stored = document.get("batch")
        counts = [CollectionCount(**each) for each in document.get("counts", ())]
        return Job(
            account=document["account"],
            contact_id=document["_id"],
            owner=document.get("owner", ""),
            until=document.get("due_at", clock.now()),
            started_at=document["started_at"],
            finished_at=document.get("finished_at"),
            holders=document.get("holders"),
            rev=document.get("rev"),
            batch=Batch(_link(*stored["link"]), stored["row_ids"]) if stored else None,
            counts=deletion.listed(counts, self._rules.links),
        )


def _owned(job: Job) -> Document:
    return {"_id": job.contact_id, "account": job.account, "owner": job.owner}


def _link(collection: str, account_field: str, contact_field: str, action: str) -> Link:
    return Link(collection, account_field, contact_field, Action(action))


def _count_document(count: CollectionCount) -> Document:
    return {"collection": count.collection, "deleted": count.deleted, "unlinked": count.unlinked}
