"""From the documents of a reply to the records of an export: by the compiled part, or in Python.

Both write the same bytes, since a file that one replica began may be continued by another. The compiled part
(native/) reads BSON and writes the text of a format in one go; what it does not know, it hands back.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol

import bson
from bson.raw_bson import RawBSONDocument

from service.domain.contact import Contact
from service.domain.encoding import Encoder, Piece
from service.native import compiled
from service.storage.documents import OPTIONS, from_document
from service.storage.replies import Reply, starts_of

IS_NATIVE = compiled is not None

# Decoding 50 documents takes well under a millisecond: nobody else on the loop waits longer.
SLICE = 50
_AT_ITS_BEGIN = array("I", [0])


class Records(Protocol):
    """Records that can be taken, from the front; the length is what is left."""

    def __len__(self) -> int: ...

    def take(self, most_bytes: int, most_records: int) -> Piece:
        """At least one record, and others until there are so many bytes or records."""
        ...


Matches = Callable[[Contact], bool] | None
"""Which contacts of a reply are wanted; None: all."""


def contacts(reply: Reply, matches: Matches) -> Iterator[list[Contact]]:
    """Slices of the contacts of a reply that are wanted."""
    for part in reply.slices(SLICE):
        found = part.contacts()
        yield [contact for contact in found if matches(contact)] if matches else found


# Account, fingerprint, trusted: what is unique.
IdentityKey = tuple[str, str, bool]


class Transcoder(Protocol):
    """One of the two ways."""

    def starts(self, cursor: bytes) -> "array[int]": ...

    def identity(self, document: bytes) -> IdentityKey: ...

    def record(self, document: bytes, encoder: Encoder) -> bytes: ...

    def records(self, reply: Reply, encoder: Encoder, matches: Matches) -> Iterable[Records]: ...


class Python:
    """Decodes contacts and has the encoder write them."""

    def starts(self, cursor: bytes) -> "array[int]":
        return starts_of(cursor)

    def identity(self, document: bytes) -> IdentityKey:
        return _decoded_identity(document)

    def record(self, document: bytes, encoder: Encoder) -> bytes:
        return _decoded_record(encoder, document)[0]

    def records(self, reply: Reply, encoder: Encoder, matches: Matches) -> Iterator[Records]:
        return (_OfContacts(encoder, found) for found in contacts(reply, matches))


class Native:
    """Decodes nothing but what a filter has to look at."""

    def starts(self, cursor: bytes) -> "array[int]":
        return array("I", compiled.starts(cursor))

    def identity(self, document: bytes) -> IdentityKey:
        return compiled.identity(document) or _decoded_identity(document)

    def record(self, document: bytes, encoder: Encoder) -> bytes:
        slowly = partial(_decoded_record, encoder)
        return compiled.transcode(encoder.name, b"", document, _AT_ITS_BEGIN, 0, 1, 1, slowly)[0]

    def records(self, reply: Reply, encoder: Encoder, matches: Matches) -> Iterator[Records]:
        if matches is None:
            yield _OfDocuments(encoder, reply)
            return
        for part in reply.slices(SLICE):
            yield _OfDocuments(encoder, part.only([matches(contact) for contact in part.contacts()]))


class _OfContacts:
    def __init__(self, encoder: Encoder, found: list[Contact]) -> None:
        self._encoder = encoder
        self._contacts = found
        self._first = 0

    def __len__(self) -> int:
        return len(self._contacts) - self._first

    def take(self, most_bytes: int, most_records: int) -> Piece:
        records: list[bytes] = []
        room = most_bytes
        for contact in self._contacts[self._first : self._first + most_records]:
            record = self._encoder.record(contact)
            records.append(record)
            room -= len(record) + len(self._encoder.separator)
            if room <= 0:
                break
        self._first += len(records)
        last_id = self._contacts[self._first - 1].id
        return Piece(self._encoder.separator.join(records), len(records), last_id)


class _OfDocuments:
    def __init__(self, encoder: Encoder, reply: Reply) -> None:
        self._encoder = encoder
        self._reply = reply
        self._first = 0

    def __len__(self) -> int:
        return len(self._reply) - self._first

    def take(self, most_bytes: int, most_records: int) -> Piece:
        encoder, reply = self._encoder, self._reply
        piece = Piece(
            *compiled.transcode(
                encoder.name,
                encoder.separator,
                reply.cursor,
                reply.starts,
                self._first,
                most_bytes,
                most_records,
                partial(_decoded_record, encoder),
            )
        )
        self._first += piece.records
        return piece


def _decoded_record(encoder: Encoder, document: bytes) -> tuple[bytes, str]:
    contact = from_document(bson.decode(document, OPTIONS))
    return encoder.record(contact), contact.id


def _decoded_identity(document: bytes) -> IdentityKey:
    found = RawBSONDocument(document)
    return found["account"], found["fingerprint"], found["trusted"]


BEST: Transcoder = Native() if IS_NATIVE else Python()
