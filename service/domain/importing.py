"""Imports by rules: what a row may say, whose contact it is about, what becomes of that.

Pure: contacts that were found come in, the contact to write comes out.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from service.domain import identity, ids, metadata, update, validation
from service.domain.contact import TEXT_FIELDS, Contact, Draft
from service.domain.errors import (
    ContactNotFound,
    FingerprintTaken,
    IdTaken,
    InvalidField,
    NoIdentity,
    ScopeMissing,
    Violation,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Conflict(Enum):
    """What happens to a row whose contact exists."""

    SKIP = auto()
    MERGE = auto()
    FAIL = auto()


class Result(Enum):
    """What became of a row that was not refused."""

    CREATED = auto()
    FOUND = auto()
    UPDATED = auto()


class Imported(NamedTuple):
    """What became of a row, and the id of its contact; "" where one would have been drawn."""

    result: Result
    contact_id: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How an import works, and whether its caller may say which fingerprint somebody has."""

    conflict: Conflict = Conflict.SKIP
    validate_only: bool = False
    trusting: bool = True


@dataclass(frozen=True, slots=True)
class Said:
    """A row as it was sent. "" and None mean absent; times are UTC in whole milliseconds."""

    draft: Draft = field(default_factory=Draft)
    id: str = ""
    trusted: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row that breaks no rule. `fingerprint` is what its contact has or would get; "": it is only an id."""

    id: str
    fingerprint: str
    trusted: bool
    values: Draft
    created_at: datetime | None
    updated_at: datetime | None

    @property
    def names_fingerprint(self) -> bool:
        """Whether the row says it, or it was derived."""
        return bool(self.values.fingerprint)

    @property
    def keys(self) -> set[str | tuple[str, bool]]:
        """What another row of the same contact has in common with it."""
        keys: set[str | tuple[str, bool]] = {self.id} if self.id else set()
        return keys | {(self.fingerprint, self.trusted)} if self.fingerprint else keys


def checked(account: str, said: Said) -> Row:
    """The row of an account; raises InvalidField, MetadataInvalid, ContactNotOwned or NoIdentity."""
    values = validation.checked_import(said.draft, trusted=said.trusted)
    _check_times(said, _checked_id(account, said.id))
    _check_metadata(values)
    return Row(
        id=said.id,
        fingerprint=_fingerprint(account, values, has_id=bool(said.id)),
        trusted=said.trusted,
        values=values,
        created_at=said.created_at,
        updated_at=said.updated_at,
    )


def contact_of(row: Row, by_id: Contact | None, by_key: Contact | None, plan: Plan) -> Contact | None:
    """The one of both that the row is about; None: it has to be created.

    Raises IdTaken, ScopeMissing (who may not say a fingerprint names only that of the contact of the id), and
    NoIdentity for a row that has only an id, which nobody has.
    """
    is_same = by_id is not None and (row.fingerprint, row.trusted) == (by_id.fingerprint, by_id.trusted)
    if row.names_fingerprint and not is_same and not plan.trusting:
        raise ScopeMissing("trust")
    if by_id is not None:
        if row.names_fingerprint and not is_same:
            raise IdTaken
        return by_id
    if not row.fingerprint:
        raise _no_identity()
    return by_key


def met(contact: Contact, row: Row, plan: Plan, now: datetime) -> Contact:
    """What becomes of a contact that exists: the same object when nothing does.

    Raises FingerprintTaken (FAIL) or MetadataInvalid.
    """
    if plan.conflict == Conflict.FAIL:
        raise FingerprintTaken(contact.id)
    if plan.conflict == Conflict.SKIP:
        return contact
    fields = update.populated(row.values) - {"fingerprint"}
    return update.applied(contact, update.Change(row.values, fields), now)


def created(row: Row, contact_id: str) -> Contact:
    """The contact that a row makes: verified and changed when the row says."""
    born_at = ids.created_at(contact_id)
    return Contact(
        id=contact_id,
        fingerprint=row.fingerprint,
        trusted=row.trusted,
        updated_at=max(row.updated_at or born_at, born_at),
        verified_at=row.values.verified_at,
        metadata=metadata.merged({}, row.values.metadata or {}),
        **{name: getattr(row.values, name) for name in TEXT_FIELDS},
    )


def milliseconds(moment: datetime) -> int:
    """Since 1970, as ids count."""
    return (moment - _EPOCH) // _MILLISECOND


def _checked_id(account: str, contact_id: str) -> str:
    if not contact_id:
        return ""
    try:
        return ids.owned(account, contact_id)
    except ContactNotFound as error:
        raise InvalidField(Violation("contact.id", "no id of this service")) from error


def _check_times(said: Said, contact_id: str) -> None:
    if said.created_at is None:
        return
    if contact_id and said.created_at != ids.created_at(contact_id):
        raise InvalidField(Violation("contact.created_at", "differs from the time in the id"))
    if said.created_at < _EPOCH:
        raise InvalidField(Violation("contact.created_at", "ids begin in 1970"))


def _check_metadata(values: Draft) -> None:
    # What it would be stored as, whether it is stored or merged.
    metadata.checked(metadata.merged({}, values.metadata or {}))


def _fingerprint(account: str, values: Draft, *, has_id: bool) -> str:
    if values.fingerprint:
        return values.fingerprint
    try:
        return identity.derived_fingerprint(account, values)
    except NoIdentity:
        if has_id:
            return ""
        raise


def _no_identity() -> NoIdentity:
    rule = "nobody has this id, and fingerprint, name, email, phone and nickname are absent"
    return NoIdentity(Violation("contact", rule))
