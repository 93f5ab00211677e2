"""The store: what the service can do with contacts, one method each. The account always comes first."""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from service.domain import contact as contacts
from service.domain import identity, ids, update
from service.domain.contact import Contact, Draft
from service.domain.deletion import Receipt
from service.domain.encoding import Encoder
from service.domain.errors import (
    ContactNotFound,
    EtagMismatch,
    FingerprintTaken,
    StoreUnavailable,
    WriteConflict,
)
from service.domain.filters import Selection
from service.storage import indexes, transcode
from service.storage.by_key import ContactsByKey, IdentityKey
from service.storage.deletion import Deletions
from service.storage.documents import OPTIONS, Document, to_document
from service.storage.gate import POOL_SIZE, Gate
from service.storage.queries import query
from service.storage.replies import Reply, ask
from service.storage.scan import Part, scan
from service.storage.transcode import Matches, Records, Transcoder

# 64 writers on one contact all get their turn; a writer sleeps at most 50 ms between two rounds.
_ROUNDS = 64
_LONGEST_PAUSE = 0.05
_UNBOUNDED = 2**63 - 1
_MIGRATE = "the index {} is missing; run `contactservice migrate`"


class MongodbUriInvalid(Exception):
    """The driver cannot use the URI; the sentence does not quote it, since it may hold a password."""


def connect(uri: str) -> AsyncMongoClient[Document]:
    """A client of the running event loop; connects at the first call. Raises MongodbUriInvalid."""
    try:
        return AsyncMongoClient(
            uri, maxPoolSize=POOL_SIZE, serverSelectionTimeoutMS=3000, appname="contactservice"
        )
    except (PyMongoError, ValueError) as error:
        kind = type(error).__name__
        raise MongodbUriInvalid(
            f"--mongodb-uri cannot be used ({kind}); expected mongodb://HOST:PORT/?replicaSet=NAME"
        ) from error


class Store:
    """Contacts on MongoDB: written to a majority and its journals, read from what a majority holds.

    Every method may raise StoreTimeout and StoreUnavailable; those that write refuse with StoreUnavailable
    while the unique index is missing.
    """

    def __init__(
        self,
        client: AsyncMongoClient[Document],
        database: str,
        gate: Gate,
        *,
        batching: bool = True,
        transcoder: Transcoder = transcode.BEST,
    ) -> None:
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
        self._deletions = Deletions(self._database[indexes.DELETIONS], gate)
        self._gate = gate
        self._by_key = ContactsByKey(self._contacts, gate, batching=batching)
        # The contacts that this process is inserting.
        self._births: dict[IdentityKey, asyncio.Future[None]] = {}
        self._transcoder = transcoder
        self._ids = ids.IdMint(lambda: time.time_ns() // 1_000_000, secrets.randbits)
        # Known after the first look at the database.
        self._missing: set[str] | None = None

    async def create(self, account: str, draft: Draft, request_id: str = "") -> tuple[Contact, bool]:
        """A contact and whether it is new.

        With a fingerprint it is the trusted contact that has it; without, a new untrusted one, or the one
        that an earlier call with the same request id made.
        """
        if draft.fingerprint:
            fingerprint = draft.fingerprint
        elif request_id:
            fingerprint = identity.request_fingerprint(account, request_id)
        else:
            fingerprint = identity.random_fingerprint(secrets.token_bytes(20))
        # Mostly it is new: inserted unseen, and looked for only when it turns out to be there.
        return await self._get_or_create(account, draft, fingerprint, probably_new=True)

    async def ensure(self, account: str, draft: Draft) -> tuple[Contact, bool]:
        """The one contact of this person and whether it is new; raises NoIdentity."""
        fingerprint = draft.fingerprint or identity.derived_fingerprint(account, draft)
        return await self._get_or_create(account, draft, fingerprint)

    async def get(self, account: str, contact_id: str) -> Contact:
        """Raises InvalidField (empty id), ContactNotOwned or ContactNotFound."""
        found = await self._by_key.by_id(account, ids.owned(account, contact_id))
        if found is None:
            raise ContactNotFound
        return found

    async def update(self, account: str, contact_id: str, change: update.Change) -> Contact:
        """The contact after the change.

        Raises what `get` and `update.applied` raise, FingerprintTaken with nothing applied, or WriteConflict
        when others won every round.
        """
        self._check_writable()
        for attempt in range(_ROUNDS):
            stored = await self.get(account, contact_id)
            changed = update.applied(stored, change, _now())
            if changed is stored or await self._swap(account, stored, changed):
                return changed
            await _pause(attempt)
        raise WriteConflict

    async def delete(
        self, account: str, contact_id: str, etag: str = "", *, allow_missing: bool = False
    ) -> Receipt | None:
        """Deletes for good. None only with `allow_missing`, for a contact that was never deleted here.

        Raises InvalidField (empty id), ContactNotOwned, ContactNotFound or EtagMismatch.
        """
        self._check_writable()
        if allow_missing and contact_id and not ids.is_wellformed(contact_id):
            return None
        for attempt in range(_ROUNDS):
            found = await self._by_key.by_id(account, ids.owned(account, contact_id))
            if found is None:
                break
            if await self._remove(account, found, etag):
                return await self._deletions.close(account, contact_id, _now())
            # Deleted by somebody else, or it has another fingerprint now.
            await _pause(attempt)
        receipt = await self._deletions.close(account, contact_id, _now())
        if not allow_missing:
            raise ContactNotFound
        return receipt

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

    async def operation_time(self) -> int:
        """The database's operation time (seconds << 32 | increment); 0 where it keeps none."""
        reply = await self.ping()
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

    async def prepare(self) -> set[str]:
        """Makes the indexes of an empty collection; returns the names of those that a filled one lacks."""
        missing = await self._gate.run(lambda: indexes.missing(self._database))
        if missing and await self._gate.run(lambda: self._contacts.find_one({}, ["_id"])) is None:
            await self.migrate()
            missing = set()
        self._missing = missing
        return missing

    async def migrate(self) -> set[str]:
        """Makes all missing indexes, however long it takes; returns their names. Raises CannotMigrate."""
        made = await self._gate.run(lambda: indexes.create(self._database), seconds=24 * 3600)
        self._missing = set()
        return made

    async def close(self) -> None:
        """Waits for the operations under way, then closes the client."""
        await self._gate.drained()
        await self._client.close()

    async def _get_or_create(
        self, account: str, draft: Draft, fingerprint: str, *, probably_new: bool = False
    ) -> tuple[Contact, bool]:
        self._check_writable()
        trusted = bool(draft.fingerprint)
        identity_key = (account, fingerprint, trusted)
        look = not probably_new
        for attempt in range(_ROUNDS):
            if birth := self._births.get(identity_key):
                await asyncio.wait({birth})
                look = True
            if look and (found := await self._by_key.by_identity(*identity_key)):
                return found, False
            look = True
            if identity_key not in self._births:
                newborn = contacts.born(self._ids.mint(account), draft, fingerprint, trusted=trusted)
                if await self._gives_birth(identity_key, newborn):
                    return newborn, True
                # The winner's contact may not have reached a majority yet, or is deleted again.
                await _pause(attempt)
        raise WriteConflict

    async def _gives_birth(self, identity_key: IdentityKey, newborn: Contact) -> bool:
        # One at a time for each person: who comes meanwhile waits, and reads what has become of it.
        self._births[identity_key] = birth = asyncio.get_running_loop().create_future()
        try:
            return await self._by_key.insert(identity_key[0], newborn)
        finally:
            del self._births[identity_key]
            birth.set_result(None)

    async def _swap(self, account: str, stored: Contact, changed: Contact) -> bool:
        document = to_document(account, changed)
        expected = {
            "_id": stored.id,
            "account": account,
            "fingerprint": stored.fingerprint,
            "rev": stored.rev,
        }
        try:
            result = await self._gate.run(lambda: self._contacts.replace_one(expected, document))
        except DuplicateKeyError as error:
            taken = await self._by_key.by_identity(account, changed.fingerprint, changed.trusted)
            if taken:
                raise FingerprintTaken(taken.id) from error
            return False
        return result.matched_count == 1

    async def _remove(self, account: str, found: Contact, etag: str) -> bool:
        if etag and etag != found.etag:
            raise EtagMismatch
        await self._deletions.open(account, found.id, _now())
        # With the fingerprint, as every write: it is what a sharded cluster routes by.
        key: dict[str, Any] = {"_id": found.id, "account": account, "fingerprint": found.fingerprint}
        guard = {"rev": found.rev} if etag else {}
        result = await self._gate.run(lambda: self._contacts.delete_one(key | guard))
        if etag and not result.deleted_count and await self._by_key.by_id(account, found.id):
            await self._deletions.withdraw(account, found.id)
            raise EtagMismatch
        return result.deleted_count == 1

    def _scan(
        self, selection: Selection, opened: Callable[[Reply], Iterable[Part]], after: str, limit: int
    ) -> AsyncGenerator[Part, None]:
        async def fetch(after: str, count: int) -> bytes:
            return await self._gate.run(lambda: self._reply(selection, after, count))

        return scan(fetch, self._transcoder.starts, opened, after, limit)

    async def _reply(self, selection: Selection, after: str, count: int) -> bytes:
        wanted = query(selection, after)
        self._check_index(wanted.index)
        return await ask(self._database, wanted, count)

    def _check_writable(self) -> None:
        self._check_index(indexes.IDENTITY)

    def _check_index(self, name: str) -> None:
        if self._missing is None:
            raise StoreUnavailable
        if name in self._missing:
            raise StoreUnavailable(f"The contacts cannot be served in full: {_MIGRATE.format(name)}.")


def _check(selection: Selection) -> Matches:
    return selection.filter.matches if selection.filter.may_collide else None


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


async def _pause(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.001 * 2**attempt)))  # noqa: S311 (jitter)
