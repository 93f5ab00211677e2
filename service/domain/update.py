"""A partial update: which fields it names, and what the contact is afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from service.domain import metadata, validation
from service.domain.contact import SERVER_FIELDS, TEXT_FIELDS, WRITABLE_FIELDS, Contact, Draft
from service.domain.errors import (
    EtagMismatch,
    InvalidField,
    MaskPathInvalid,
    ScopeMissing,
    TrustImmutable,
    Violation,
)


@dataclass(frozen=True, slots=True)
class Change:
    """A checked update: the values, the fields to write, and what must hold for it."""

    values: Draft
    fields: frozenset[str]
    replace_metadata: bool = False
    etag: str = ""
    may_change_fingerprint: bool = True


def masked_fields(paths: Sequence[str], values: Draft) -> frozenset[str]:
    """The fields that an update writes; raises MaskPathInvalid, TrustImmutable or InvalidField.

    No path means the populated fields, `*` all writable ones. An empty fingerprint is never written.
    """
    for path in paths:
        _check_path(path)
    if "fingerprint" in paths and not values.fingerprint:
        raise InvalidField(Violation("contact.fingerprint", "cannot be cleared"))
    if "*" in paths:
        return WRITABLE_FIELDS if values.fingerprint else WRITABLE_FIELDS - {"fingerprint"}
    return frozenset(paths) or populated(values)


def populated(values: Draft) -> frozenset[str]:
    """The fields that say something."""
    texts = {name for name in ("fingerprint", *TEXT_FIELDS) if getattr(values, name)}
    others = {name for name in ("metadata", "verified_at") if getattr(values, name) is not None}
    return frozenset(texts | others)


def applied(contact: Contact, change: Change, now: datetime) -> Contact:
    """The contact after the change, or the very same object when nothing changes.

    Raises EtagMismatch, ScopeMissing (another fingerprint without the scope trust), InvalidField or
    MetadataInvalid (the merged metadata breaks a limit).
    """
    if change.etag and change.etag != contact.etag:
        raise EtagMismatch
    values = {name: getattr(change.values, name) for name in change.fields}
    if "metadata" in values:
        values["metadata"] = _new_metadata(contact, change)
    different = {name: value for name, value in values.items() if not same(value, getattr(contact, name))}
    if not different:
        return contact
    if "fingerprint" in different:
        _check_fingerprint(different["fingerprint"], change)
    return replace(contact, **different, updated_at=max(now, contact.updated_at), rev=contact.rev + 1)


def same(one: Any, other: Any) -> bool:
    """Equality that tells true from 1, at any depth."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _check_path(path: str) -> None:
    field = "update_mask"
    if path == "trusted":
        raise TrustImmutable(Violation(field, "trusted is decided at birth and cannot be changed"))
    if path in SERVER_FIELDS:
        raise MaskPathInvalid(Violation(field, f"{path} is written by the server only"))
    if path == "*" or path in WRITABLE_FIELDS:
        return
    if path.partition(".")[0] in WRITABLE_FIELDS:
        raise MaskPathInvalid(Violation(field, "name top-level fields only; metadata merges by itself"))
    known = ", ".join(sorted(WRITABLE_FIELDS))
    raise MaskPathInvalid(Violation(field, f"a path is * or one of {known}"))


def _new_metadata(contact: Contact, change: Change) -> dict[str, Any]:
    patch = change.values.metadata
    if patch is None:
        return {}
    base = {} if change.replace_metadata else contact.metadata
    return metadata.checked(metadata.merged(base, patch))


def _check_fingerprint(fingerprint: str, change: Change) -> None:
    if not change.may_change_fingerprint:
        raise ScopeMissing("trust")
    validation.checked_fingerprint(fingerprint)
