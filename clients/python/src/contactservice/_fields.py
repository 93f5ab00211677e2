"""Keyword arguments as fields of messages: contacts and filters as Python writes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from contactservice.v1.contact_pb2 import CONTACT_ORDER_UNSPECIFIED, Contact, ContactFilter, ContactOrder

M = TypeVar("M", bound=Message)
Order: TypeAlias = Literal["NEWEST_FIRST", "OLDEST_FIRST"]


class ContactFields(TypedDict, total=False):
    """What a caller can write of a contact. None is an absent field."""

    fingerprint: str | None
    name: str | None
    description: str | None
    email: str | None
    phone: str | None
    nickname: str | None
    preferences: str | None
    metadata: Mapping[str, Any] | None
    verified_at: datetime | None


class FilterTerms(TypedDict, total=False):
    """The terms of a ContactFilter; all that are given must be met."""

    metadata: Mapping[str, Any] | None
    metadata_exists: Sequence[str]
    emails: Sequence[str]
    phones: Sequence[str]
    fingerprints: Sequence[str]
    ids: Sequence[str]
    trusted: bool | None
    verified: bool | None
    created_after: datetime | None
    created_before: datetime | None
    updated_after: datetime | None
    updated_before: datetime | None


def contact_with(contact: Contact | None, fields: ContactFields) -> Contact:
    """A copy of the contact, with these fields instead of its own."""
    return _with(contact or Contact(), fields)


def filter_with(terms: ContactFilter | None, more: FilterTerms) -> ContactFilter | None:
    """A copy of the filter, with these terms instead of its own; None when there is neither."""
    return _with(terms or ContactFilter(), more) if terms is not None or more else None


def order_of(order: Order | None) -> ContactOrder.ValueType:
    return ContactOrder.Value(f"CONTACT_ORDER_{order}") if order else CONTACT_ORDER_UNSPECIFIED


def _with(message: M, fields: Mapping[str, Any]) -> M:
    changed = type(message)()
    changed.CopyFrom(message)
    for name, value in fields.items():
        changed.ClearField(name)
        if value is not None:
            _set(changed, name, value)
    return changed


def _set(message: Message, name: str, value: Any) -> None:
    field = getattr(message, name)
    if isinstance(field, Struct):
        field.SetInParent()
        field.update(value)
    elif isinstance(field, Timestamp):
        field.FromDatetime(_in_a_zone(name, value))
    elif isinstance(value, str | bool):
        setattr(message, name, value)
    else:
        field.extend(value)


def _in_a_zone(name: str, value: datetime) -> datetime:
    if value.tzinfo is None:
        # protobuf would take it for UTC, most programs mean their own zone.
        raise ValueError(f"{name} needs a time zone, such as datetime.now(UTC)")
    return value
