"""The laws of filters: they mean what the contract says, read naively, and their terms lose nobody."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import filters, identity, ids, metadata, terms
from service.domain.contact import Contact
from service.domain.filters import ContactFilter
from service.domain.terms import Path
from tests.domain import strategies
from tests.domain.strategies import bounded

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
# A world has many corners, and one example takes a few milliseconds.
many = settings(bounded, max_examples=300)


@dataclass(frozen=True)
class Asked:
    """A filter as a caller writes it."""

    metadata: dict[str, Any] | None = None
    exists: tuple[Path, ...] = ()
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    trusted: bool | None = None
    verified: bool | None = None
    created: tuple[datetime | None, datetime | None] = (None, None)
    updated: tuple[datetime | None, datetime | None] = (None, None)


def read(asked: Asked) -> ContactFilter:
    """The filter as the service reads it."""
    return ContactFilter(
        metadata=filters.metadata_conditions(asked.metadata),
        metadata_exists=tuple(
            filters.path(".".join("`" + key.replace("`", "``") + "`" for key in path))
            for path in asked.exists
        ),
        emails=filters.any_of("emails", [*asked.emails], identity.normal_text),
        phones=filters.any_of("phones", [*asked.phones], identity.normal_phone),
        fingerprints=filters.any_of("fingerprints", [*asked.fingerprints]),
        ids=filters.owned_ids("demo", [*asked.ids]),
        trusted=asked.trusted,
        verified=asked.verified,
        created_after=asked.created[0],
        created_before=asked.created[1],
        updated_after=asked.updated[0],
        updated_before=asked.updated[1],
    )


def model(asked: Asked, contact: Contact) -> bool:
    """What the sentences of the contract say, read naively."""
    emails = [each.strip().lower() for each in asked.emails]
    return (
        (asked.metadata is None or met(asked.metadata, contact.metadata))
        and all(exists(path, contact.metadata) for path in asked.exists)
        and (not emails or contact.email.strip().lower() in emails)
        and (not asked.phones or digits(contact.phone) in map(digits, asked.phones))
        and (not asked.fingerprints or contact.fingerprint in asked.fingerprints)
        and (not asked.ids or contact.id in asked.ids)
        and (asked.trusted is None or contact.trusted is asked.trusted)
        and (asked.verified is None or bool(contact.verified_at) is asked.verified)
        and inside(asked.created, contact.created_at)
        and inside(asked.updated, contact.updated_at)
    )


def met(wanted: Any, stored: Any) -> bool:
    if isinstance(wanted, dict):
        if not isinstance(stored, dict):
            return False
        return all(key in stored and met(wanted[key], stored[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(stored, list) and all(any(equal(each, held) for held in stored) for each in wanted)
    return any(equal(wanted, held) for held in (stored if isinstance(stored, list) else [stored]))


def equal(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def exists(path: Path, stored: Any) -> bool:
    return not path or (isinstance(stored, dict) and path[0] in stored and exists(path[1:], stored[path[0]]))


def digits(phone: str) -> str:
    kept = "".join(each for each in phone if each in "+0123456789")
    return kept.replace("00", "+", 1) if kept[:2] == "00" else kept


def inside(bounds: tuple[datetime | None, datetime | None], moment: datetime) -> bool:
    return (bounds[0] or moment) <= moment and (bounds[1] is None or moment < bounds[1])


def asked_terms(account: str, wanted: ContactFilter) -> tuple[list[set[int]], set[int]]:
    """What the query of a filter asks of the terms: one of each group, and all of the rest."""
    groups = []
    if wanted.emails:
        groups.append({terms.of_email(account, each) for each in wanted.emails})
    if wanted.phones:
        groups.append({terms.of_phone(account, each) for each in wanted.phones})
    needed = {
        terms.of_scalar(account, condition.path, value)
        for condition in wanted.metadata
        for value in condition.values
    }
    needed |= {terms.of_path(account, path) for path in wanted.metadata_exists}
    if wanted.verified is not None:
        needed.add(terms.of_flag(account, "verified", wanted.verified))
    if wanted.trusted is not None:
        needed.add(terms.of_flag(account, "trusted", wanted.trusted))
    return groups, needed


def could_be_found(account: str, wanted: ContactFilter, contact: Contact) -> bool:
    held = set(terms.of_contact(account, contact))
    groups, needed = asked_terms(account, wanted)
    return needed <= held and all(group & held for group in groups)


def leaves(members: dict[str, Any], here: Path = ()) -> list[tuple[Path, Any]]:
    """The paths of metadata with what stands there, objects left out."""
    found = []
    for key, value in members.items():
        found += leaves(value, (*here, key)) if isinstance(value, dict) else [((*here, key), value)]
    return found


def nested(path: Path, value: Any) -> dict[str, Any]:
    return {path[0]: nested(path[1:], value) if path[1:] else value}


# Small worlds, so that filters and contacts meet.
few_keys = st.sampled_from(["a", "b", "a.b", "`"])
few_scalars = st.sampled_from([0, 1, 1.5, True, False, "", "1", "true", "x"])
few_members = st.dictionaries(
    few_keys,
    st.recursive(
        few_scalars | st.lists(few_scalars | st.none(), max_size=3),
        lambda inner: st.lists(inner | st.none(), max_size=3) | st.dictionaries(few_keys, inner, max_size=2),
        max_leaves=5,
    ),
    max_size=3,
)
# What is stored has integers for whole numbers, what is asked for comes as doubles.
asked_scalars = few_scalars | st.sampled_from([0.0, -0.0, 1.0])
few_conditions = st.dictionaries(
    few_keys,
    st.recursive(
        asked_scalars | st.lists(asked_scalars, min_size=1, max_size=2),
        lambda inner: st.dictionaries(few_keys, inner, min_size=1, max_size=2),
        max_leaves=3,
    ),
    min_size=1,
    max_size=2,
)
few_emails = st.sampled_from(["ann@x", " ANN@x ", "bo@x", "Bo@X"])
few_phones = st.sampled_from(["+49 30", "0049-30", "(0)0 4930", "030", "30"])
few_texts = st.sampled_from(["user:1", "USER:1", "user:2"])
few_moments = st.sampled_from([MOMENT + step * MILLISECOND for step in range(-1, 3)])
few_ids = st.sampled_from([ids.lower_bound("demo", 1_767_225_600_000 + step) for step in range(-1, 3)])
few_contacts = st.builds(
    Contact,
    id=few_ids,
    fingerprint=few_texts,
    trusted=st.booleans(),
    updated_at=few_moments,
    email=st.just("") | few_emails,
    phone=st.just("") | few_phones,
    metadata=few_members,
    verified_at=st.none() | few_moments,
)


@st.composite
def conditions_near(draw: st.DrawFn, members: dict[str, Any]) -> dict[str, Any]:
    """A filter of metadata that often holds for these members: else most would meet nobody."""
    if not leaves(members):
        return draw(few_conditions)
    found: dict[str, Any] = {}
    for path, value in draw(st.lists(st.sampled_from(leaves(members)), min_size=1, max_size=2)):
        scalars = [each for each in (value if isinstance(value, list) else [value]) if is_scalar(each)]
        near = st.sampled_from(scalars) if scalars else asked_scalars
        some = st.lists(near | asked_scalars, min_size=1, max_size=2)
        found = metadata.merged(found, nested(path, draw(near | some | asked_scalars)))
    return found


def is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | int | float)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Asked, list[Contact]]:
    """Contacts, and a filter of one to three kinds of terms: with all ten nobody would ever match."""
    contacts = draw(st.lists(few_contacts, min_size=1, max_size=2))
    two = {"min_size": 1, "max_size": 2}
    some = {
        "metadata": conditions_near(contacts[0].metadata),
        "exists": st.lists(st.lists(few_keys, **two).map(tuple), **two).map(tuple),
        "emails": st.lists(few_emails, **two).map(tuple),
        "phones": st.lists(few_phones, **two).map(tuple),
        "fingerprints": st.lists(few_texts, **two).map(tuple),
        "ids": st.lists(few_ids | st.just("nonsense"), **two).map(tuple),
        "trusted": st.booleans(),
        "verified": st.booleans(),
        "created": st.tuples(st.none() | few_moments, st.none() | few_moments),
        "updated": st.tuples(st.none() | few_moments, st.none() | few_moments),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(some)), min_size=1, max_size=3))
    return Asked(**{name: draw(some[name]) for name in sorted(chosen)}), contacts


@many
@given(worlds())
def test_matching_agrees_with_the_contract_read_naively(world: tuple[Asked, list[Contact]]) -> None:
    """For any filter and contacts, those match that the sentences of the contract describe."""
    asked, contacts = world
    wanted = read(asked)
    assert [wanted.matches(each) for each in contacts] == [model(asked, each) for each in contacts]


@many
@given(few_contacts, st.data())
def test_metadata_agrees_with_the_contract_read_naively(contact: Contact, data: st.DataObject) -> None:
    """The same for metadata alone, where structure and types have most to say."""
    raw = data.draw(conditions_near(contact.metadata))
    assert read(Asked(metadata=raw)).matches(contact) == met(raw, contact.metadata)


@many
@given(worlds())
def test_terms_lose_nobody(world: tuple[Asked, list[Contact]]) -> None:
    """Every contact that matches has all the terms that the query asks for."""
    asked, contacts = world
    wanted = read(asked)
    lost = [each for each in contacts if wanted.matches(each) and not could_be_found("demo", wanted, each)]
    assert lost == []


@bounded
@given(strategies.contacts, st.data())
def test_a_contact_is_found_by_each_of_its_own_values(contact: Contact, data: st.DataObject) -> None:
    """A filter that is made from a contact matches it, and finds it by its terms."""
    (path, value) = data.draw(st.sampled_from(leaves(contact.metadata) or [((), None)]))
    listed = value if isinstance(value, list) else []
    elements = [each for each in listed if is_scalar(each)]
    condition = (elements or None) if isinstance(value, list) else value
    wanted = ContactFilter(
        metadata=filters.metadata_conditions(None if condition is None else nested(path, condition)),
        metadata_exists=(path,) if path else (),
        emails=tuple(filter(None, [identity.normal_text(contact.email)])),
        phones=tuple(filter(None, [identity.normal_phone(contact.phone)])),
        fingerprints=(contact.fingerprint,),
        ids=filters.owned_ids("demo", [contact.id]),
        trusted=contact.trusted,
        verified=contact.verified_at is not None,
        created_after=contact.created_at,
        updated_after=contact.updated_at,
    )
    assert wanted.matches(contact)
    assert could_be_found("demo", wanted, contact)


@many
@given(worlds())
def test_terms_lose_nobody_even_when_they_collide(world: tuple[Asked, list[Contact]]) -> None:
    """With four bits for a term contacts are found too often, and still never too rarely."""
    asked, contacts = world
    wanted = read(asked)
    with pytest.MonkeyPatch.context() as narrow:
        narrow.setattr(terms, "BITS", 4)
        lost = [
            each for each in contacts if wanted.matches(each) and not could_be_found("demo", wanted, each)
        ]
    assert lost == []
