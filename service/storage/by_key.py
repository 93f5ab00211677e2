"""Single contacts: found by a key, inserted. What concurrent calls want goes to the database in batches.

The queries are of shapes that one index answers, over any number of accounts, and each caller looks again at
what it is given: only a contact of its account, with its key, is its answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, ConnectionFailure, ServerSelectionTimeoutError, WriteError

from service.domain.contact import Contact
from service.domain.errors import StoreTimeout, StoreUnavailable
from service.storage import indexes
from service.storage.batches import MOST_KEYS, Batches
from service.storage.documents import OPTIONS, Document, from_document, stored_id, to_document
from service.storage.gate import Gate

_RAW = OPTIONS.with_options(document_class=RawBSONDocument)
_DUPLICATE_KEY = 11000

# Account and id; account, fingerprint and class.
IdKey = tuple[str, str]
IdentityKey = tuple[str, str, bool]


class ContactsByKey:
    """Finds and inserts contacts one at a time. Without `batching` each goes on its own, the same way."""

    def __init__(self, collection: AsyncCollection[Document], gate: Gate, *, batching: bool = True) -> None:
        most = MOST_KEYS if batching else 1
        self._collection = collection
        self._ids = Batches[IdKey, bytes](gate, self._by_id, most)
        self._identities = Batches[IdentityKey, Document](gate, self._by_identity, most)
        self._inserts = Batches[bytes, WriteError](gate, self._insert, most)

    async def by_id(self, account: str, contact_id: str) -> Contact | None:
        found = await self._ids.one((account, contact_id))
        document = bson.decode(found, OPTIONS) if found else None
        return from_document(document) if document and document["account"] == account else None

    async def by_identity(self, account: str, fingerprint: str, trusted: bool) -> Contact | None:
        found = await self._identities.one((account, fingerprint, trusted))
        return from_document(found) if found else None

    async def insert(self, account: str, contact: Contact) -> bool:
        """False, and nothing is written, when another contact has this fingerprint and class."""
        # Encoded here, so that a contact that cannot be fails its own caller only.
        refusal = await self._inserts.one(bson.encode(to_document(account, contact)))
        if refusal and refusal.code != _DUPLICATE_KEY:
            raise refusal
        return refusal is None

    async def _by_id(self, keys: Sequence[IdKey]) -> Mapping[IdKey, bytes]:
        conditions = {
            "account": _any_of(account for account, _ in keys),
            "_id": _any_of(each for _, each in keys),
        }
        found = await self._found(conditions, indexes.BY_ID, len(keys), _RAW)
        raw = {stored_id(each): each for each in (bytes(document.raw) for document in found)}
        return {key: raw[key[1]] for key in keys if key[1] in raw}

    async def _by_identity(self, keys: Sequence[IdentityKey]) -> Mapping[IdentityKey, Document]:
        fingerprints: dict[str, list[str]] = {}
        for account, fingerprint, _ in keys:
            fingerprints.setdefault(account, []).append(fingerprint)
        each = [
            {"account": account, "fingerprint": _any_of(texts)} for account, texts in fingerprints.items()
        ]
        # Not accounts times fingerprints: texts that many accounts use would multiply.
        conditions = each[0] if len(each) == 1 else {"$or": each}
        found = await self._found(conditions, indexes.IDENTITY, 2 * len(keys), OPTIONS)
        return {(each["account"], each["fingerprint"], each["trusted"]): each for each in found}

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

    async def _found(
        self, conditions: Document, index: str, most: int, options: CodecOptions[Any]
    ) -> list[Any]:
        # A plain command takes 40 us less than a find, and can be answered by raw documents.
        command = {
            "find": self._collection.name,
            "filter": conditions,
            "hint": dict(indexes.KEYS[index]),
            "limit": most,
            "batchSize": most,
            "readConcern": {"level": "majority"},
        }
        database = self._collection.database
        try:
            reply = await database.command(command, codec_options=options)
        except ServerSelectionTimeoutError:
            raise
        except ConnectionFailure:
            # The driver tries a find again, but not a command.
            reply = await database.command(command, codec_options=options)
        if left := reply["cursor"]["id"]:
            await database.command({"killCursors": self._collection.name, "cursors": [left]})
            raise ReplyCut
        found: list[Any] = reply["cursor"]["firstBatch"]
        return found


class ReplyCut(Exception):
    """The contacts of a batch outgrow a reply of 16 MiB: each is asked for alone."""


def _any_of(values: Iterable[str]) -> Any:
    found = sorted(set(values))
    return found[0] if len(found) == 1 else {"$in": found}
