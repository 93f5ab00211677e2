"""Contacts that come back under the id of a deleted one: the deletion has to be over, and stays so."""

from collections.abc import Mapping, Sequence

from pymongo.asynchronous.collection import AsyncCollection

from service.storage.batches import Batches
from service.storage.by_key import IdKey
from service.storage.documents import Document
from service.storage.gate import Gate


class Revivals:
    """Asks the jobs of deletions, for many ids at once."""

    def __init__(self, jobs: AsyncCollection[Document], gate: Gate) -> None:
        self._jobs = jobs
        self._asked = Batches[IdKey, bool](gate, self._open, name="revivals")

    async def may_live(self, account: str, contact_id: str) -> bool:
        """False while a deletion of the id is under way: it would take the contact that comes.

        After a deletion that has ended nobody looks for late rows any more: they would be those of the new
        contact. Who is looking just now has lost its lease, and clears nothing more.
        """
        return await self._asked.one((account, contact_id)) is None

    async def _open(self, keys: Sequence[IdKey]) -> Mapping[IdKey, bool]:
        wanted = {
            "account": {"$in": sorted({account for account, _ in keys})},
            "_id": {"$in": sorted({contact_id for _, contact_id in keys})},
        }
        jobs = await self._jobs.find(wanted, ["account", "finished_at", "due_at"]).to_list()
        if any("finished_at" in job and "due_at" in job for job in jobs):
            ended = wanted | {"finished_at": {"$ne": None}}
            await self._jobs.update_many(ended, {"$unset": {"due_at": 1, "owner": 1}})
        return {(job["account"], job["_id"]): True for job in jobs if "finished_at" not in job}
