"""A stored contact, a full set of other values, and what an update makes of the two."""

from datetime import UTC, datetime, timedelta
from typing import Any

from service.domain import ids, update
from service.domain.contact import Contact, Draft
from service.domain.update import Change

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = CREATED + timedelta(hours=1)
STORED = Contact(
    id=ids.lower_bound("demo", 1_767_225_600_000),
    fingerprint="user:1",
    trusted=True,
    updated_at=CREATED,
    rev=7,
    name="Ann",
    description="tall",
    email="ann@example.com",
    phone="+49 30",
    nickname="annie",
    preferences="tea",
    metadata={"plan": "pro", "address": {"city": "Oslo", "zip": "0150"}},
    verified_at=CREATED,
)
WRITABLE = {
    "fingerprint",
    "name",
    "description",
    "email",
    "phone",
    "nickname",
    "preferences",
    "metadata",
    "verified_at",
}
FULL = Draft(
    fingerprint="user:2",
    name="Bo",
    description="small",
    email="bo@example.com",
    phone="+1",
    nickname="b",
    preferences="coffee",
    metadata={"plan": "free"},
    verified_at=NOW,
)


def applied(
    values: Draft, *paths: str, contact: Contact = STORED, now: datetime = NOW, **change: Any
) -> Contact:
    """The contact after an update with these values and mask paths."""
    fields = update.masked_fields(paths, values)
    return update.applied(contact, Change(values=values, fields=fields, **change), now)
