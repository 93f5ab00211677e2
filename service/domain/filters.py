"""The one filter language: which contacts. All terms are ANDed; a list of values means any of them."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from service.domain import identity, ids, limits, metadata, terms
from service.domain.contact import Contact
from service.domain.errors import ContactNotFound, FilterInvalid, Violation
from service.domain.terms import Path

Scalar = str | int | float | bool
_MOST_TERMS = f"at most {limits.FILTER_METADATA_TERMS} metadata terms"
_STEP = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")


@dataclass(frozen=True, slots=True)
class MetadataEquals:
    """The metadata at this path is a list that holds all these scalars or, unless `listed`, is the one."""

    path: Path
    values: tuple[Scalar, ...]
    listed: bool = False


@dataclass(frozen=True, slots=True)
class ContactFilter:
    """A checked filter. Emails and phones are in normal form, times half-open UTC ranges in milliseconds.

    An empty tuple or None is no condition; `ids` is None without a condition, since a list of ids that no
    contact can have matches nothing.
    """

    metadata: tuple[MetadataEquals, ...] = ()
    metadata_exists: tuple[Path, ...] = ()
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    trusted: bool | None = None
    verified: bool | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None

    @property
    def may_collide(self) -> bool:
        """Whether terms, which are hashes, take part in finding: then what was found is to be checked."""
        return self.has_texts or self.trusted is not None or self.verified is not None

    @property
    def has_texts(self) -> bool:
        """Whether only the contact itself tells that it is meant: the database knows no normal forms."""
        return bool(self.metadata or self.metadata_exists or self.emails or self.phones)

    def matches(self, contact: Contact) -> bool:
        """Whether the contact itself, not only its terms, is what the filter asks for."""
        return (
            all(_holds(contact.metadata, wanted) for wanted in self.metadata)
            and all(_exists(contact.metadata, path) for path in self.metadata_exists)
            and _any_of(self.emails, lambda: identity.normal_text(contact.email))
            and _any_of(self.phones, lambda: identity.normal_phone(contact.phone))
            and _any_of(self.fingerprints, lambda: contact.fingerprint)
            and (self.ids is None or contact.id in self.ids)
            and self.trusted in {None, contact.trusted}
            and self.verified in {None, contact.verified_at is not None}
            and _within(self.created_after, lambda: contact.created_at, self.created_before)
            and _within(self.updated_after, lambda: contact.updated_at, self.updated_before)
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which contacts of an account, in which order of their ids."""

    account: str
    filter: ContactFilter
    newest_first: bool


def check_few(leaves: Iterable[object]) -> None:
    """Raises FilterInvalid for the metadata of a filter at the first leaf too many; no other is looked at."""
    if any(True for _ in islice(leaves, limits.FILTER_METADATA_TERMS, None)):
        raise _invalid("metadata", f"{_MOST_TERMS}, got more")


def metadata_conditions(raw: dict[str, Any] | None) -> tuple[MetadataEquals, ...]:
    """The leaves of the metadata of a filter; raises FilterInvalid."""
    if raw is None:
        return ()
    return tuple(sorted(_conditions((), raw), key=lambda condition: condition.path))


def paths(texts: Collection[str]) -> tuple[Path, ...]:
    """Each path once, in order; raises FilterInvalid, for too many before any is read."""
    if len(texts) > limits.FILTER_METADATA_TERMS:
        raise _invalid("metadata_exists", f"{_MOST_TERMS}, got {len(texts)}")
    return tuple(sorted({path(text) for text in texts}))


def path(text: str) -> Path:
    """Keys joined by dots, one with a dot or backtick in backticks (doubled inside); raises FilterInvalid."""
    steps: list[str] = []
    position = 0
    # Metadata has no deeper paths: a request of a million keys is not walked to its end.
    while len(steps) < limits.METADATA_LEVELS and (step := _STEP.match(text, position)):
        quoted, plain = step.groups()
        steps.append(plain if quoted is None else quoted.replace("``", "`"))
        position = step.end() + 1
        if text[step.end() : position] != ".":
            break
    if not steps or position != len(text) + 1:
        rule = f"a path is up to {limits.METADATA_LEVELS} keys joined by dots, keys with a dot in backticks"
        raise _invalid("metadata_exists", rule)
    return tuple(steps)


def any_of(field: str, values: Collection[str], normal: Callable[[str], str] = str) -> tuple[str, ...]:
    """The values in normal form, each once, in order; raises FilterInvalid for too many or an empty one."""
    if len(values) > limits.FILTER_VALUES:
        raise _invalid(field, f"at most {limits.FILTER_VALUES} values, got {len(values)}")
    found = {normal(value) for value in values}
    if "" in found:
        raise _invalid(field, "a value must not be empty")
    return tuple(sorted(found))


def owned_ids(account: str, values: Collection[str]) -> tuple[str, ...] | None:
    """The wellformed ids (others match nothing); raises ContactNotOwned or FilterInvalid."""
    wanted = any_of("ids", values)
    found = []
    for contact_id in wanted:
        try:
            found.append(ids.owned(account, contact_id))
        except ContactNotFound:
            continue
    return tuple(found) if wanted else None


def checked(wanted: ContactFilter) -> ContactFilter:
    """The filter, if it has no more metadata terms than allowed; raises FilterInvalid."""
    count = sum(len(condition.values) for condition in wanted.metadata) + len(wanted.metadata_exists)
    if count > limits.FILTER_METADATA_TERMS:
        field = "metadata" if wanted.metadata else "metadata_exists"
        raise _invalid(field, f"{_MOST_TERMS}, got {count}")
    return wanted


def _conditions(here: Path, value: Any) -> Iterator[MetadataEquals]:
    if isinstance(value, dict) and value:
        for key, member in value.items():
            yield from _conditions((*here, key), member)
    elif isinstance(value, list) and value:
        # Keyed by type and text: a set would take true for 1.
        distinct = {terms.typed(scalar): scalar for scalar in map(_scalar, value)}
        yield MetadataEquals(here, tuple(distinct[key] for key in sorted(distinct)), listed=True)
    else:
        yield MetadataEquals(here, (_scalar(value),))


def _scalar(value: Any) -> Scalar:
    if isinstance(value, float):
        try:
            return metadata.number(value)
        except ValueError as error:
            raise _invalid("metadata", str(error)) from error
    if isinstance(value, str | bool | int):
        return value
    raise _invalid("metadata", "null, {}, [] and lists of lists or objects are no conditions")


def _holds(members: dict[str, Any], wanted: MetadataEquals) -> bool:
    try:
        stored = _at(members, wanted.path)
    except KeyError:
        return False
    if wanted.listed and not isinstance(stored, list):
        return False
    candidates = stored if isinstance(stored, list) else [stored]
    held = {terms.typed(each) for each in candidates if not isinstance(each, dict | list)}
    return all(terms.typed(value) in held for value in wanted.values)


def _exists(members: dict[str, Any], wanted: Path) -> bool:
    try:
        _at(members, wanted)
    except KeyError:
        return False
    return True


def _at(members: Any, wanted: Path) -> Any:
    for key in wanted:
        if not isinstance(members, dict):
            raise KeyError(key)
        members = members[key]
    return members


def _any_of(wanted: tuple[str, ...], actual: Callable[[], str]) -> bool:
    return not wanted or actual() in wanted


def _within(start: datetime | None, actual: Callable[[], datetime], end: datetime | None) -> bool:
    if start is None and end is None:
        return True
    moment = actual()
    return (start is None or moment >= start) and (end is None or moment < end)


def _invalid(field: str, rule: str) -> FilterInvalid:
    return FilterInvalid(Violation(f"filter.{field}", rule))
