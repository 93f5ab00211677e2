"""Deletion for good: the job first, the contact second, so that a crash between the two leaves a trace.

The job document holds the account, the contact's id and times, nothing of the person. A deletion that a
crash left open is closed by the next call for the same contact.
"""

from datetime import datetime

from pymongo.asynchronous.collection import AsyncCollection

from service.domain.deletion import Receipt
from service.storage.documents import Document
from service.storage.gate import Gate


class Deletions:
    """The deletion jobs, one for each contact that was ever deleted, kept 90 days."""

    def __init__(self, jobs: AsyncCollection[Document], gate: Gate) -> None:
        self._jobs = jobs
        self._gate = gate

    async def open(self, account: str, contact_id: str, now: datetime) -> None:
        """Writes the job down. Deletions of one contact at once share it, and it counts them."""
        opened = {"$setOnInsert": {"account": account, "started_at": now}, "$inc": {"holders": 1}}
        # By _id alone: only then does MongoDB itself try again when two upserts meet (else E11000).
        await self._gate.run(lambda: self._jobs.update_one({"_id": contact_id}, opened, upsert=True))

    async def withdraw(self, account: str, contact_id: str) -> None:
        """Lets go of a job whose contact turned out to stay; the last one takes it back."""
        unfinished = {"_id": contact_id, "account": account, "finished_at": None}
        await self._gate.run(lambda: self._jobs.update_one(unfinished, {"$inc": {"holders": -1}}))
        await self._gate.run(lambda: self._jobs.delete_one(unfinished | {"holders": {"$lte": 0}}))

    async def close(self, account: str, contact_id: str, now: datetime) -> Receipt | None:
        """The receipt of a contact that is gone, finished now if it was not; None when none was deleted."""
        unfinished = {"_id": contact_id, "account": account, "finished_at": None}
        finished = {"$set": {"finished_at": now}, "$unset": {"holders": 1}}
        await self._gate.run(lambda: self._jobs.update_one(unfinished, finished))
        job = await self._gate.run(lambda: self._jobs.find_one({"_id": contact_id, "account": account}))
        return Receipt(contact_id, job["started_at"], job["finished_at"]) if job else None
