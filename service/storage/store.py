"""The store: what the service can do with contacts, one method each. The account always comes first."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress
from typing import Any

import pymongo
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.read_concern import ReadConcern

from service.domain import identity, ids, update
from service.domain.contact import Contact, Draft
from service.domain.deletion import Receipt, Rules
from service.domain.encoding import Encoder
from service.domain.errors import ContactNotFound, WriteConflict
from service.domain.filters import Selection
from service.domain.importing import Imported, Plan, Row
from service.storage import clock, indexes, rounds, transcode
from service.storage.births import Births
from service.storage.by_key import ContactsByKey
from service.storage.changes import Changes
from service.storage.deletion import Deletions
from service.storage.documents import OPTIONS, Document, StoredContact
from service.storage.finder import Finder
from service.storage.gate import Gate
from service.storage.imports import Imports
from service.storage.indexes import CannotMigrate
from service.storage.known_indexes import KnownIndexes
from service.storage.replies import Reply
from service.storage.revivals import Revivals
from service.storage.scan import Part, scan
from service.storage.sweeper import Sweeper
from service.storage.transcode import Matches, Records, Transcoder

__all__ = ["CannotMigrate", "Store", "StoredContact"]

_UNBOUNDED = 2**62
# 160 bits.
_RANDOM_CHARACTERS = 32
_UNHURRIED_SECONDS = 10.0
_NOTHING_LINKED = Rules()
_GOODBYE_SECONDS = 1.0
# New files, and a majority that has them on its disks: a busy machine may need longer than for an operation.


class Store:
    """Contacts on MongoDB: written to a majority and its journals, read from what a majority holds.

    Every method may raise StoreTimeout and StoreUnavailable; those that write refuse with StoreUnavailable
    while the unique index is missing.
    """

    def __init__(  # noqa: PLR0913 (what it stands on, and how it works)
        self,
        client: AsyncMongoClient[Document],
        database: str,
        gate: Gate,
        *,
        batching: bool = True,
        transcoder: Transcoder = transcode.BEST,
        rules: Rules = _NOTHING_LINKED,
        unhurried: Callable[[], AsyncMongoClient[Document]] | None = None,
    ) -> None:
        """`unhurried` gives a client for what may take the database minutes; without it, it is `client`."""
        self._client = client
        self._database = client.get_database(
            database,
            codec_options=OPTIONS,
            read_concern=ReadConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern(w="majority", j=True),
        )
        self._contacts: AsyncCollection[Document] = self._database[indexes.CONTACTS]
        self._settings: AsyncCollection[Document] = self._database[indexes.SETTINGS]
        self._gate = gate
        self._by_key = ContactsByKey(self._contacts, gate, transcoder, batching=batching)
        self._deletions = Deletions(self._database, self._by_key, gate, rules)
        self.sweeper = Sweeper(self._deletions)
        self.changes = Changes(self._database, gate, unhurried)
        self._births = Births(self._by_key)
        revivals = Revivals(self._database[indexes.DELETIONS], gate)
        self._imports = Imports(self._by_key, self._births, revivals)
        self._transcoder = transcoder
        # How often EnsureContact created, and how often it found.
        self.ensures = {True: 0, False: 0}
        self._indexes = KnownIndexes(self._database, gate)

    @property
    def gate(self) -> Gate:
        return self._gate

    @property
    def batch_sizes(self) -> dict[str, list[int]]:
        return self._by_key.batch_sizes

    async def create(self, account: str, draft: Draft, request_id: str = "") -> tuple[StoredContact, bool]:
        """A contact and whether it is new.

        With a fingerprint it is the trusted contact that has it; without, a new untrusted one, or the one
        that an earlier call with the same request id made.
        """
        if draft.fingerprint:
            fingerprint = draft.fingerprint
        elif request_id:
            fingerprint = identity.request_fingerprint(account, request_id)
        else:
            fingerprint = identity.random_fingerprint(secrets.token_bytes(_RANDOM_CHARACTERS))
        self._check_writable()
        return await self._births.get_or_create(account, draft, fingerprint, probably_new=True)

    async def ensure(self, account: str, draft: Draft) -> tuple[StoredContact, bool]:
        """The one contact of this person and whether it is new; raises NoIdentity."""
        fingerprint = draft.fingerprint or identity.derived_fingerprint(account, draft)
        self._check_writable()
        stored, created = await self._births.get_or_create(account, draft, fingerprint)
        self.ensures[created] += 1
        return stored, created

    async def get(self, account: str, contact_id: str) -> StoredContact:
        """Raises InvalidField (empty id), ContactNotOwned or ContactNotFound."""
        found = await self._by_key.by_id(account, ids.owned(account, contact_id))
        if found is None:
            raise ContactNotFound
        return found

    async def update(self, account: str, contact_id: str, change: update.Change) -> StoredContact:
        """The contact after the change.

        Raises what `get` and `update.applied` raise, FingerprintTaken with nothing applied, or WriteConflict
        when others won every round.
        """
        self._check_writable()
        for attempt in range(rounds.ROUNDS):
            stored = await self.get(account, contact_id)
            before = stored.contact
            after = update.applied(before, change, clock.now())
            if after is before:
                return stored
            if changed := await self._by_key.replace(account, before, after):
                return changed
            await rounds.pause(attempt)
        raise WriteConflict

    async def take_in(self, account: str, row: Row, plan: Plan) -> Imported:
        """What became of a row of an import, looked for by its id, then by its fingerprint and class.

        Raises what `importing.contact_of` and `importing.met` raise, or WriteConflict when others won every
        round or a deletion of the id is under way.
        """
        self._check_writable()
        return await self._imports.take(account, row, plan)

    async def delete(
        self,
        account: str,
        contact_id: str,
        etag: str = "",
        *,
        allow_missing: bool = False,
        patience: float = _UNHURRIED_SECONDS,
    ) -> Receipt | None:
        """Deletes for good, with what is linked. None only with `allow_missing`, when no receipt is kept.

        Waits `patience` seconds for the linked rows; the receipt has an end when they are gone. Raises
        InvalidField (empty id), ContactNotOwned, ContactNotFound, EtagMismatch, DeleteRestricted, or
        WriteConflict when others changed the contact in every round: then nothing is changed by the call.
        """
        self._check_writable()
        return await self._deletions.delete(account, contact_id, etag, patience, allow_missing=allow_missing)

    def record(self, stored: StoredContact, encoder: Encoder) -> bytes:
        """The contact as one record of a format."""
        return self._transcoder.record(stored.document, encoder)

    def scan(
        self, selection: Selection, after: str = "", limit: int = _UNBOUNDED
    ) -> AsyncGenerator[list[Contact], None]:
        """Slices of the selected contacts behind the id `after`, in order; close it (aclosing)."""
        matches = _check(selection)
        return self._scan(selection, lambda reply: transcode.contacts(reply, matches), after, limit)

    def records(
        self, selection: Selection, encoder: Encoder, after: str = "", limit: int = _UNBOUNDED
    ) -> AsyncGenerator[Records, None]:
        """The same contacts as records of a format; close it (aclosing)."""
        matches, opened = _check(selection), self._transcoder.records
        return self._scan(selection, lambda reply: opened(reply, encoder, matches), after, limit)

    async def count(self, selection: Selection, most: int = 0) -> tuple[int, bool]:
        """How many contacts match, and whether more do: counting ends at `most`, unless that is 0."""
        most = most or _UNBOUNDED
        total = 0
        async with aclosing(self._counts(selection, most + 1)) as parts:
            async for part in parts:
                total += part
                if total > most:
                    break
        return min(total, most), total > most

    async def operation_time(self) -> int:
        """What a read that begins now sees is at least as new (seconds << 32 | increment; 0: not known).

        Of what a majority holds: the newest that the primary has applied may not be in such a read yet.
        """
        look = {
            "find": indexes.SETTINGS,
            "limit": 1,
            "singleBatch": True,
            "readConcern": {"level": "majority"},
        }
        reply = await self._gate.run(lambda: self._database.command(look))
        stamp = reply.get("operationTime")
        return stamp.time << 32 | stamp.inc if stamp else 0

    async def token_keys(self) -> list[bytes]:
        """The signing key of this database's tokens, made at the first call ever."""
        born = {"$setOnInsert": {"key": secrets.token_bytes(32)}}
        name = {"_id": "token_key"}
        await self._gate.run(lambda: self._settings.update_one(name, born, upsert=True))
        setting = await self._gate.run(lambda: self._settings.find_one(name))
        return [bytes(setting["key"])] if setting else []

    async def ping(self) -> dict[str, Any]:
        return await self._gate.run(lambda: self._database.command("ping"))

    @property
    def refused(self) -> int:
        """Operations that were not sent since the database has been found away."""
        return self._gate.refused

    async def prepare(self) -> set[str]:
        """A look at the database: makes the indexes of empty collections, names those that filled ones lack.

        When it does not answer, every other method says so at once until it does. Raises CannotMigrate.
        """
        return await self._indexes.prepare()

    async def migrate(self) -> set[str]:
        """Makes all missing indexes, however long it takes; returns their names. Raises CannotMigrate."""
        return await self._indexes.migrate()

    async def close(self) -> None:
        """Gives deletions under way back, waits as long as an operation may take, then closes the client."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gate.seconds + 1):
                await self._deletions.stop()
                await self.changes.stop()
                await self._gate.drained()
        # It tells the database which sessions have ended, without a deadline of its own.
        with pymongo.timeout(_GOODBYE_SECONDS):
            await self.changes.close()
            await self._client.close()

    async def _counts(self, selection: Selection, limit: int) -> AsyncGenerator[int, None]:
        if not selection.filter.has_texts:
            async for part in Finder(self._contacts, self._gate, selection, self._indexes.check).counts():
                yield part
            return
        async with aclosing(self.scan(selection, limit=limit)) as slices:
            async for contacts in slices:
                yield len(contacts)

    def _scan(
        self, selection: Selection, opened: Callable[[Reply], Iterable[Part]], after: str, limit: int
    ) -> AsyncGenerator[Part, None]:
        find = Finder(self._contacts, self._gate, selection, self._indexes.check)
        return scan(find, self._transcoder.starts, opened, after, limit)

    def _check_writable(self) -> None:
        self._indexes.check(indexes.IDENTITY)


def _check(selection: Selection) -> Matches:
    return selection.filter.matches if selection.filter.may_collide else None
