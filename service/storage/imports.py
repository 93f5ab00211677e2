"""Rows of an import: found or created, changed or left, whoever else writes the same contact now.

The unique indexes (of ids, and of fingerprints with their class) decide every race.
"""

import asyncio
import secrets

from service.domain import ids, importing
from service.domain.contact import Contact
from service.domain.errors import WriteConflict
from service.domain.importing import Imported, Plan, Result, Row
from service.storage import clock, rounds
from service.storage.births import Births
from service.storage.by_key import ContactsByKey
from service.storage.documents import StoredContact
from service.storage.revivals import Revivals

_RANDOM_BITS = 80


class Imports:
    """Takes in rows, one at a time."""

    def __init__(self, by_key: ContactsByKey, births: Births, revivals: Revivals) -> None:
        self._by_key = by_key
        self._births = births
        self._revivals = revivals

    async def take(self, account: str, row: Row, plan: Plan) -> Imported:
        """See Store.take_in."""
        for attempt in range(rounds.ROUNDS):
            found = importing.contact_of(row, *await self._found(account, row), plan)
            done = await (self._met(account, found, row, plan) if found else self._born(account, row, plan))
            if done:
                return done
            await rounds.pause(attempt)
        raise WriteConflict

    async def _found(self, account: str, row: Row) -> tuple[Contact | None, Contact | None]:
        async def by_id() -> StoredContact | None:
            return await self._by_key.by_id(account, row.id) if row.id else None

        async def by_key() -> StoredContact | None:
            if not row.fingerprint:
                return None
            return await self._by_key.by_identity(account, row.fingerprint, row.trusted)

        one, other = await asyncio.gather(by_id(), by_key())
        return one.contact if one else None, other.contact if other else None

    async def _met(self, account: str, found: Contact, row: Row, plan: Plan) -> Imported | None:
        after = importing.met(found, row, plan, clock.now())
        if after is found:
            return Imported(Result.FOUND, found.id)
        is_written = plan.validate_only or await self._by_key.replace(account, found, after)
        return Imported(Result.UPDATED, found.id) if is_written else None

    async def _born(self, account: str, row: Row, plan: Plan) -> Imported | None:
        if plan.validate_only:
            return Imported(Result.CREATED, row.id)
        contact = importing.created(row, row.id or self._new_id(account, row))
        # An id that is new never had a deletion.
        if row.id and not await self._revivals.may_live(account, row.id):
            return None
        is_born = await self._by_key.insert(StoredContact.of(account, contact))
        return Imported(Result.CREATED, contact.id) if is_born else None

    def _new_id(self, account: str, row: Row) -> str:
        if row.created_at is None:
            return self._births.new_id(account)
        return ids.at(account, importing.milliseconds(row.created_at), secrets.randbits(_RANDOM_BITS))
