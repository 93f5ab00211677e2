"""Single contacts: found by a key, inserted, replaced. What many want at once goes to the database together.

The queries are of shapes that one index answers, over any number of accounts. What comes back is matched with
account and key of each caller again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError, WriteError

from service.domain.contact import Contact
from service.domain.errors import FingerprintTaken, StoreTimeout, StoreUnavailable
from service.storage import indexes
from service.storage.batches import MOST_KEYS, Batches
from service.storage.documents import Document, StoredContact
from service.storage.gate import Gate
from service.storage.queries import Query
from service.storage.replies import Reply, ask
from service.storage.transcode import IdentityKey, Transcoder

_DUPLICATE_KEY = 11000
# The database cuts a reply at 16 MiB, and a contact has less than one.
_CUT_BYTES = 15 * 1024 * 1024

# Account and id.
IdKey = tuple[str, str]


class ReplyCut(Exception):
    """The contacts of a batch outgrow one reply: each is asked for alone."""


class ContactsByKey:
    """Finds and inserts contacts one at a time. Without `batching` each goes on its own, the same way."""

    def __init__(
        self, collection: AsyncCollection[Document], gate: Gate, transcoder: Transcoder, *, batching: bool
    ) -> None:
        most = MOST_KEYS if batching else 1
        self._collection = collection
        self._gate = gate
        self._transcoder = transcoder
        self._milliseconds = max(1, round(gate.seconds * 1000))
        self._ids = Batches[IdKey, bytes](gate, self._by_id, most, timed=False, name="by_id")
        self._identities = Batches[IdentityKey, bytes](
            gate, self._by_identity, most, timed=False, name="by_identity"
        )
        self._inserts = Batches[bytes, WriteError](gate, self._insert, most, lanes=2, name="insert")

    @property
    def batch_sizes(self) -> dict[str, list[int]]:
        """Of each operation, how many batches had 0, 1, 2 ... keys."""
        return {
            "by_id": self._ids.sizes,
            "by_identity": self._identities.sizes,
            "insert": self._inserts.sizes,
        }

    async def by_id(self, account: str, contact_id: str) -> StoredContact | None:
        found = await self._ids.one((account, contact_id))
        return StoredContact(found) if found else None

    async def by_identity(self, account: str, fingerprint: str, trusted: bool) -> StoredContact | None:
        found = await self._identities.one((account, fingerprint, trusted))
        return StoredContact(found) if found else None

    async def insert(self, newborn: StoredContact) -> bool:
        """False, and nothing is written, when another contact has this fingerprint and class, or this id."""
        refusal = await self._inserts.one(newborn.document)
        if refusal and refusal.code != _DUPLICATE_KEY:
            raise refusal
        return refusal is None

    async def replace(self, account: str, before: Contact, after: Contact) -> StoredContact | None:
        """The contact as it is then; None, and nothing is written, when it is no longer what it was before.

        Raises FingerprintTaken, with nothing written.
        """
        changed = StoredContact.of(account, after)
        expected = {
            "_id": before.id,
            "account": account,
            "fingerprint": before.fingerprint,
            "rev": before.rev,
        }
        document = RawBSONDocument(changed.document)
        try:
            result = await self._gate.run(lambda: self._collection.replace_one(expected, document))
        except DuplicateKeyError as error:
            taken = await self.by_identity(account, after.fingerprint, after.trusted)
            if taken:
                raise FingerprintTaken(taken.id) from error
            return None
        return changed if result.matched_count == 1 else None

    async def _by_id(self, keys: Sequence[IdKey]) -> Mapping[IdKey, bytes]:
        accounts = {account for account, _ in keys}
        conditions = {"account": _any_of(accounts), "_id": _any_of(contact_id for _, contact_id in keys)}
        found = await self._found(conditions, indexes.BY_ID, len(keys))
        if len(accounts) == 1:
            [account] = accounts
            return {(account, StoredContact(document).id): document for document in found}
        whose = self._transcoder.identity
        return {(whose(document)[0], StoredContact(document).id): document for document in found}

    async def _by_identity(self, keys: Sequence[IdentityKey]) -> Mapping[IdentityKey, bytes]:
        fingerprints: dict[str, list[str]] = {}
        for account, fingerprint, _ in keys:
            fingerprints.setdefault(account, []).append(fingerprint)
        each = [
            {"account": account, "fingerprint": _any_of(texts)} for account, texts in fingerprints.items()
        ]
        # Not accounts times fingerprints: texts that many accounts use would multiply.
        conditions = each[0] if len(each) == 1 else {"$or": each}
        found = await self._found(conditions, indexes.IDENTITY, 2 * len(keys))
        return {self._transcoder.identity(document): document for document in found}

    async def _found(self, conditions: Document, index: str, most: int) -> list[bytes]:
        query = Query(conditions, index, sort=[])
        cursor = await ask(self._collection.database, query, most, self._milliseconds)
        if len(cursor) > _CUT_BYTES:
            raise ReplyCut
        return Reply(cursor, self._transcoder.starts(cursor)).documents()

    async def _insert(self, documents: Sequence[bytes]) -> Mapping[bytes, WriteError]:
        raw = [RawBSONDocument(document) for document in documents]
        try:
            await self._collection.insert_many(raw, ordered=False)
        except BulkWriteError as error:
            if error.details["writeConcernErrors"]:
                # Written, but nobody knows whether to stay.
                raise (StoreTimeout() if error.timeout else StoreUnavailable()) from error
            refusals = error.details["writeErrors"]
            return {documents[each["index"]]: WriteError("refused", each["code"]) for each in refusals}
        return {}


def _any_of(values: Iterable[str]) -> Any:
    found = sorted(set(values))
    return found[0] if len(found) == 1 else {"$in": found}
