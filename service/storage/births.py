"""Get or create: the one contact of an account, a fingerprint and a class, whoever else asks for it now.

The unique index decides every race. Within a process a person is born once at a time, so that callers of one
new person wait for one insert instead of losing to it.
"""

import asyncio
import secrets
import time

from service.domain import births, ids
from service.domain.contact import Draft
from service.domain.errors import WriteConflict
from service.storage import rounds
from service.storage.by_key import ContactsByKey
from service.storage.documents import StoredContact
from service.storage.transcode import IdentityKey


class Births:
    """Makes new contacts."""

    def __init__(self, by_key: ContactsByKey) -> None:
        self._by_key = by_key
        self._ids = ids.IdMint(lambda: time.time_ns() // 1_000_000, secrets.randbits)
        # With what is waited by, where somebody waits.
        self._under_way: dict[IdentityKey, asyncio.Future[None] | None] = {}

    async def get_or_create(
        self, account: str, draft: Draft, fingerprint: str, *, probably_new: bool = False
    ) -> tuple[StoredContact, bool]:
        """The contact and whether it is new; trusted if the draft has the fingerprint. Raises WriteConflict.

        One that is probably new is inserted unseen, and looked for only when it turns out to be there.
        """
        trusted = bool(draft.fingerprint)
        key = (account, fingerprint, trusted)
        look = not probably_new
        tried: set[str] = set()
        for attempt in range(rounds.ROUNDS):
            if key in self._under_way:
                await self._end_of(key)
                look = True
            if look and (found := await self._by_key.by_identity(*key)):
                # An insert may be told as refused that was written: what it wrote is new all the same.
                return found, bool(tried) and found.id in tried
            look = True
            if key not in self._under_way:
                contact_id = self.new_id(account)
                newborn = StoredContact.born(account, contact_id, draft, fingerprint, trusted=trusted)
                births.asked.set(contact_id)
                tried.add(contact_id)
                self._under_way[key] = None
                try:
                    is_born = await self._by_key.insert(newborn)
                finally:
                    self._ended(key)
                if is_born:
                    return newborn, True
                births.asked.set(None)
                # The winner's contact may not have reached a majority yet, or is deleted again.
                await rounds.pause(attempt)
        raise WriteConflict

    def new_id(self, account: str) -> str:
        """An id of now."""
        return self._ids.mint(account)

    async def _end_of(self, key: IdentityKey) -> None:
        birth = self._under_way[key]
        if birth is None:
            self._under_way[key] = birth = asyncio.get_running_loop().create_future()
        # Not awaited itself: who is cancelled must not take it from the others.
        await asyncio.wait({birth})

    def _ended(self, key: IdentityKey) -> None:
        birth = self._under_way.pop(key)
        if birth:
            birth.set_result(None)
