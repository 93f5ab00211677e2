"""The contact: as it is kept, and as a caller may write it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.domain import ids

TEXT_FIELDS = ("name", "description", "email", "phone", "nickname", "preferences")
WRITABLE_FIELDS = frozenset({"fingerprint", *TEXT_FIELDS, "metadata", "verified_at"})
SERVER_FIELDS = frozenset({"id", "trusted", "created_at", "updated_at", "etag"})

Metadata = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a caller may say of a contact. "" and None mean absent; times are UTC in whole milliseconds."""

    fingerprint: str = ""
    name: str = ""
    description: str = ""
    email: str = ""
    phone: str = ""
    nickname: str = ""
    preferences: str = ""
    metadata: Metadata | None = None
    verified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """One person of one account. Times are UTC in whole milliseconds; `rev` counts the writes."""

    id: str
    fingerprint: str
    trusted: bool
    updated_at: datetime
    rev: int = 1
    name: str = ""
    description: str = ""
    email: str = ""
    phone: str = ""
    nickname: str = ""
    preferences: str = ""
    metadata: Metadata = field(default_factory=dict)
    verified_at: datetime | None = None

    @property
    def created_at(self) -> datetime:
        return ids.created_at(self.id)

    @property
    def etag(self) -> str:
        return str(self.rev)


def born(contact_id: str, draft: Draft, fingerprint: str, *, trusted: bool) -> Contact:
    """A new contact. A trusted one is verified from birth, unless the caller named another time."""
    now = ids.created_at(contact_id)
    return Contact(
        id=contact_id,
        fingerprint=fingerprint,
        trusted=trusted,
        updated_at=now,
        verified_at=draft.verified_at or (now if trusted else None),
        metadata=draft.metadata or {},
        **{name: getattr(draft, name) for name in TEXT_FIELDS},
    )
