"""PurgeContacts: what matches a filter is deleted, so many at most, each as it was when it matched."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from contactservice.v1 import contact_service_pb2 as pb
from service.domain import limits
from service.domain.contact import Contact
from service.domain.errors import ContactNotFound, DeleteRestricted, EtagMismatch, WriteConflict
from service.domain.filters import Selection
from service.rpc import audited
from service.storage.store import Store

# Each needs several operations of the database, which has others to serve as well.
_AT_ONCE = 32


async def looked_at(store: Store, selection: Selection) -> pb.PurgeContactsResponse:
    """What a purge would delete."""
    count, _ = await store.count(selection)
    response = pb.PurgeContactsResponse(state=pb.PURGE_STATE_DRY_RUN, count=count)
    async with aclosing(store.scan(selection, limit=limits.PURGE_SAMPLE_IDS)) as slices:
        async for contacts in slices:
            response.sample_ids.extend(contact.id for contact in contacts)
    return response


@dataclass
class Purge:
    """One call with `force`, which ends when `answer_by` (the loop's time) has come."""

    store: Store
    selection: Selection
    limit: int
    answer_by: float
    deleted: list[str] = field(default_factory=list)
    restricted: int = 0
    changed: int = 0

    async def done(self) -> pb.PurgeContactsResponse:
        is_at_its_end = await self._walked()
        return pb.PurgeContactsResponse(
            state=pb.PURGE_STATE_COMPLETE if is_at_its_end and not self.changed else pb.PURGE_STATE_PARTIAL,
            count=len(self.deleted),
            restricted=self.restricted,
            sample_ids=sorted(self.deleted)[: limits.PURGE_SAMPLE_IDS],
        )

    async def _walked(self) -> bool:
        async with aclosing(self.store.scan(self.selection)) as slices:
            async for contacts in slices:
                if not await self._cleared(contacts):
                    return False
        return True

    # False when limit or time ended before all of them had their turn.
    async def _cleared(self, contacts: Sequence[Contact]) -> bool:
        first = 0
        while first < len(contacts):
            room = min(_AT_ONCE, self.limit - len(self.deleted))
            if not room or self._time_left() <= 0:
                return False
            await asyncio.gather(*map(self._delete, contacts[first : first + room]))
            first += room
        return True

    async def _delete(self, contact: Contact) -> None:
        try:
            with audited.item(contact.id):
                await self.store.delete(
                    self.selection.account, contact.id, contact.etag, patience=max(0.0, self._time_left())
                )
        except DeleteRestricted:
            self.restricted += 1
        except (EtagMismatch, WriteConflict):
            self.changed += 1
        except ContactNotFound:
            pass
        else:
            self.deleted.append(contact.id)

    def _time_left(self) -> float:
        return self.answer_by - asyncio.get_running_loop().time()
