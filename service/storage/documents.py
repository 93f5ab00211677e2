"""Contacts as MongoDB keeps them: absent is left out, metadata keys are escaped, terms stand beside."""

import re
from dataclasses import dataclass
from typing import Any, Self

import bson
from bson.codec_options import CodecOptions

from service.domain import contact as contacts
from service.domain import terms
from service.domain.contact import TEXT_FIELDS, Contact, Draft, Metadata
from service.native import compiled

Document = dict[str, Any]
OPTIONS: CodecOptions[Document] = CodecOptions(tz_aware=True)

# A dot or dollar in a key means something to queries, a NUL ends it, and {"$ref": ...} decodes as a DBRef.
_ESCAPES = {ord("%"): "%25", ord("."): "%2E", ord("$"): "%24", 0: "%00"}
_ESCAPED = re.compile(r"%(25|2E|24|00)")


@dataclass(frozen=True, slots=True)
class StoredContact:
    """A contact as it lies in the database: decoded only for who has to look into it."""

    document: bytes

    @classmethod
    def of(cls, account: str, contact: Contact) -> Self:
        # The compiled part knows the terms in full width only.
        written = compiled.document(account, contact) if compiled and terms.BITS == 64 else None
        return cls(written or bson.encode(to_document(account, contact)))

    @classmethod
    def born(cls, account: str, contact_id: str, draft: Draft, fingerprint: str, *, trusted: bool) -> Self:
        """What `of` makes of the contact that is born so."""
        if compiled and terms.BITS == 64:
            written = compiled.newborn(account, contact_id, draft, fingerprint, trusted)
            if written:
                return cls(written)
        return cls.of(account, contacts.born(contact_id, draft, fingerprint, trusted=trusted))

    @property
    def id(self) -> str:
        # MongoDB keeps the id as the first element: four bytes of size, a type, `_id`, the size of the text.
        end = 13 + int.from_bytes(self.document[9:13], "little") - 1
        return self.document[13:end].decode()

    @property
    def contact(self) -> Contact:
        return from_document(bson.decode(self.document, OPTIONS))


def to_document(account: str, contact: Contact) -> Document:
    document = {
        "_id": contact.id,
        "account": account,
        "fingerprint": contact.fingerprint,
        "trusted": contact.trusted,
        "updated_at": contact.updated_at,
        "rev": contact.rev,
        "terms": terms.of_contact(account, contact),
    }
    document.update({name: text for name in TEXT_FIELDS if (text := getattr(contact, name))})
    if contact.metadata:
        document["metadata"] = _escaped(contact.metadata)
    if contact.verified_at:
        document["verified_at"] = contact.verified_at
    return document


def from_document(document: Document) -> Contact:
    found = document.get
    return Contact(
        id=document["_id"],
        fingerprint=document["fingerprint"],
        trusted=document["trusted"],
        updated_at=document["updated_at"],
        rev=document["rev"],
        name=found("name", ""),
        description=found("description", ""),
        email=found("email", ""),
        phone=found("phone", ""),
        nickname=found("nickname", ""),
        preferences=found("preferences", ""),
        metadata=unescaped(found("metadata", {})),
        verified_at=found("verified_at"),
    )


def unescaped(stored: Metadata) -> Metadata:
    return {_raw_key(key): _plain(value) for key, value in stored.items()}


def _escaped(metadata: Metadata) -> Metadata:
    return {key.translate(_ESCAPES): _storable(value) for key, value in metadata.items()}


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return _escaped(value)
    return [_storable(each) for each in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return unescaped(value)
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _raw_key(key: str) -> str:
    return _ESCAPED.sub(lambda escape: chr(int(escape[1], 16)), key) if "%" in key else key
