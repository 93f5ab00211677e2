"""Replies of the database as the bytes that come: asked for, and opened without decoding their documents."""

from array import array
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from service.domain.contact import Contact
from service.storage import indexes
from service.storage.documents import OPTIONS, Document, from_document
from service.storage.gate import TRANSIENT
from service.storage.queries import Query

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

# An array of that name; a document in it.
_BATCH_KEY = b"\x04firstBatch\x00"
_DOCUMENT = 3
_LENGTH = 4
# 32 bits: a reply has at most 48 MB.
_OFFSETS = "I"

# BadValue, IndexNotFound: of all that a find of ours says, only its hint can be wrong.
_NO_SUCH_HINT = {2, 27}


async def ask(
    database: AsyncDatabase[Document], wanted: Query, count: int, milliseconds: int | None = None
) -> bytes:
    """The first documents that a query finds, `count` at most, as the BSON of a cursor that is closed.

    The database gives up after so many milliseconds, if any are named. Raises StoreUnavailable when the
    index has gone.

    A plain command takes a quarter of the time of find_raw_batches, which cuts every document out of the
    reply and joins them again.
    """
    command = {
        "find": indexes.CONTACTS,
        "filter": wanted.conditions,
        "hint": dict(indexes.KEYS[wanted.index]),
        "sort": dict(wanted.sort),
        "limit": count,
        # One reply, which the database cuts at 16 MiB: no cursor is left, however large the documents are.
        "batchSize": count,
        "singleBatch": True,
        "readConcern": {"level": "majority"},
    }
    if milliseconds:
        command["maxTimeMS"] = milliseconds
    try:
        reply = await _met(lambda: database.command(command, codec_options=_RAW))
    except OperationFailure as error:
        if error.code in _NO_SUCH_HINT:
            raise indexes.unavailable(wanted.index) from error
        raise
    cursor: RawBSONDocument = reply["cursor"]
    return bytes(cursor.raw)


async def _met(command: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await command()
    except PyMongoError as error:
        if not _passes(error):
            raise
    # The driver repeats a find by itself, but not what it takes for any command.
    return await command()


def _passes(error: PyMongoError) -> bool:
    if isinstance(error, OperationFailure):
        return error.code in TRANSIENT
    # After a wait in vain there is no time for another one.
    return isinstance(error, AutoReconnect) and not error.timeout


@dataclass(frozen=True, slots=True)
class Reply:
    """Documents of one reply, by where they begin in `cursor`, the BSON of its `cursor` member."""

    cursor: bytes
    starts: "array[int]"

    def __len__(self) -> int:
        return len(self.starts)

    def documents(self) -> list[bytes]:
        return [self._document(start) for start in self.starts]

    def contacts(self) -> list[Contact]:
        return list(map(from_document, bson.decode_all(b"".join(self.documents()), OPTIONS)))

    def last_id(self) -> str:
        return str(bson.decode(self._document(self.starts[-1]), OPTIONS)["_id"])

    def within(self, size: int) -> "Reply":
        """Its first documents within so many bytes, one at least, without the bytes of the others."""
        if len(self.cursor) <= size:
            return self
        # Each ends where the next begins, or a few bytes before.
        kept = self.starts[: max(1, bisect_right(self.starts, size) - 1)]
        return Reply(self.cursor[: kept[-1] + _size_at(self.cursor, kept[-1])], kept)

    def slices(self, size: int) -> "Iterator[Reply]":
        """The reply in parts of at most so many documents."""
        for first in range(0, len(self.starts), size):
            yield Reply(self.cursor, self.starts[first : first + size])

    def only(self, wanted: list[bool]) -> "Reply":
        """Those of the documents that are wanted."""
        return Reply(self.cursor, array(_OFFSETS, compress(self.starts, wanted)))

    def _document(self, start: int) -> bytes:
        return self.cursor[start : start + _size_at(self.cursor, start)]


def is_empty(cursor: bytes) -> bool:
    """Whether the reply has no documents."""
    return next(_starts(cursor), None) is None


def starts_of(cursor: bytes) -> "array[int]":
    """Where the documents of the reply begin."""
    return array(_OFFSETS, _starts(cursor))


def _starts(cursor: bytes) -> Iterator[int]:
    # Before the batch stand at most the number and the name of the cursor: the first find is the key.
    position = cursor.index(_BATCH_KEY) + len(_BATCH_KEY) + _LENGTH
    while cursor[position] == _DOCUMENT:
        start = cursor.index(b"\0", position) + 1
        yield start
        position = start + _size_at(cursor, start)


def _size_at(cursor: bytes, start: int) -> int:
    return int.from_bytes(cursor[start : start + _LENGTH], "little")
