"""From a contact to its document: the compiled part writes what Python writes, or leaves it to Python."""

import calendar
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import contact as contacts
from service.domain import ids, terms
from service.domain.contact import TEXT_FIELDS, Contact, Draft
from service.native import compiled
from service.storage.documents import OPTIONS, StoredContact, to_document
from tests.domain import hostile, strategies
from tests.domain.strategies import bounded

pytestmark = pytest.mark.skipif(not compiled, reason="the compiled part is not built")

PERSON = Contact(
    id=ids.lower_bound("demo", 1_767_225_600_000),
    fingerprint="user:1",
    trusted=True,
    updated_at=datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
    name="Zoë",
    email=" Ann@Example.com ",
    phone="0049 (30) 1-2.3/4_5\t6",
    metadata={"plan": "pro", "shop": {"cart": 12.5, "tags": ["a", "b", "a", None, {"x": 1}]}},
    verified_at=datetime(2026, 1, 1, tzinfo=UTC),
)


class Colour(IntEnum):
    """A number that is more than a number."""

    RED = 1


def in_python(contact: Contact, account: str = "demo") -> bytes | type[Exception]:
    """The document, or the kind of error that Python ends in."""
    try:
        return bson.encode(to_document(account, contact))
    except Exception as error:  # noqa: BLE001 (any error is the outcome that is compared)
        return type(error)


def newborn_in_python(draft: Draft, fingerprint: str, *, trusted: bool) -> bytes | type[Exception]:
    return in_python(contacts.born(PERSON.id, draft, fingerprint, trusted=trusted))


def check_same(contact: Contact, account: str = "demo") -> None:
    """The compiled part writes it, and as Python does."""
    assert compiled.document(account, contact) == in_python(contact, account)


def check_not_other(contact: Contact, account: str = "demo") -> None:
    """The compiled part writes it as Python does, or not at all."""
    written = compiled.document(account, contact)
    assert written is None or written == in_python(contact, account)


@bounded
@given(strategies.contacts, st.text(st.characters(codec="utf-8"), max_size=70))
def test_any_contact_becomes_the_same_document(contact: Contact, account: str) -> None:
    """Whatever the rules let a contact be; of addresses and numbers, what is ASCII."""
    check_not_other(contact, account)
    check_same(replace(contact, email=ascii(contact.email), phone=ascii(contact.phone)), account)


def test_hostile_contacts_become_the_same_documents() -> None:
    """The texts and values that readers stumble over."""
    for contact in (*hostile.contacts(2000), *hostile.contact_of_each_text()):
        check_not_other(contact)
        check_same(replace(contact, email=ascii(contact.name), phone="+49 30"))


def test_each_sign_of_an_address_and_a_number() -> None:
    """Case, space and noise, wherever they stand; what is beyond ASCII is Python's."""
    for sign in map(chr, range(0x180)):
        for text in (sign, f"{sign}00aZ", f"aZ{sign}00", f"0{sign}0{sign}", f" {sign} 00 {sign}"):
            contact = replace(PERSON, email=text, phone=text)
            (check_same if text.isascii() else check_not_other)(contact)


def test_terms_of_texts_of_any_length() -> None:
    """A hash is made of blocks: around their borders, too."""
    for size in (*range(300), 1023, 1024, 1025, 4096):
        for text in ("x" * size, "ß" * size):
            check_same(replace(PERSON, metadata={"a": text, "k" * (size % 128 + 1): text}))


@bounded
@given(st.floats() | st.integers(-(2**70), 2**70) | st.floats(-1e6, 1e6).map(lambda value: round(value, 3)))
def test_any_number_has_the_same_term_and_bytes(value: float) -> None:
    """In 32 bits, in 64, as a float; not finite or beyond them is Python's."""
    contact = replace(PERSON, metadata={"a": value, "b": [value, -value]})
    plain = value == value and abs(value) < 2**63  # noqa: PLR0124 (NaN)
    (check_same if plain else check_not_other)(contact)


@pytest.mark.parametrize("rev", [1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63])
def test_revisions_of_any_size(rev: int) -> None:
    """Stored in 32 or in 64 bits; past those it is an error of the driver."""
    (check_same if rev < 2**63 else check_not_other)(replace(PERSON, rev=rev))


@bounded
@given(strategies.moments)
def test_any_time_has_the_same_bytes(moment: datetime) -> None:
    """In the years 1 to 9999, also as the driver decodes it."""
    check_same(replace(PERSON, updated_at=moment, verified_at=moment))
    check_same(replace(PERSON, verified_at=bson.decode(bson.encode({"a": moment}), OPTIONS)["a"]))


@pytest.mark.parametrize("year", [1, 4, 1600, 1900, 1970, 1999, 2000, 2001, 2100, 9999])
def test_each_day_of_a_year(year: int) -> None:
    """Leap years, centuries and the ends of the calendar, to the last millisecond."""
    for day in range(365 + calendar.isleap(year)):
        moment = datetime(year, 1, 1, 23, 59, 59, 999_000, tzinfo=UTC) + timedelta(days=day)
        check_same(replace(PERSON, updated_at=moment))


def deep(levels: int, innermost: Any) -> Any:
    for _ in range(levels):
        innermost = {"a": innermost}
    return innermost


@pytest.mark.parametrize(
    "changed",
    [
        {"updated_at": datetime(2026, 1, 2)},  # noqa: DTZ001 (without a time zone)
        {"updated_at": datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5)))},
        {"updated_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))},
        {"updated_at": None},
        {"verified_at": "2026-01-02"},
        {"trusted": 1},
        {"rev": True},
        {"rev": 1.5},
        {"id": None},
        {"id": "\ud800"},
        {"fingerprint": "\udfff"},
        {"name": "\ud800"},
        {"name": None},
        {"email": "\ud800"},
        {"metadata": None},
        {"metadata": [1]},
        {"metadata": {"\ud800": 1}},
        {"metadata": {"a": "\ud800"}},
        {"metadata": {1: 1}},
        {"metadata": {"a": Colour.RED}},
        {"metadata": {"a": b"bytes"}},
        {"metadata": {"a": (1, 2)}},
        {"metadata": {"a": PERSON.updated_at}},
        {"metadata": {"a": float("nan")}},
        {"metadata": {"a": [float("inf")]}},
        {"metadata": {"a": 2**64}},
        {"metadata": deep(40, 1)},
        {"metadata": deep(5000, 1)},
    ],
    ids=" ".join,
)
def test_what_is_no_contact_is_left_to_python(changed: dict[str, Any]) -> None:
    """A wrong type, a text without UTF-8, levels without end: Python makes a document of it, or the error."""
    contact = replace(PERSON, **changed)
    assert compiled.document("demo", contact) is None


@pytest.mark.parametrize("levels", range(1, 25))
def test_metadata_of_many_levels(levels: int) -> None:
    """All that the rules allow, and more."""
    check_same(replace(PERSON, metadata=deep(levels, 1)))


def test_a_large_contact_is_written_whole() -> None:
    """Texts at their limits, a thousand members, long lists."""
    texts = dict.fromkeys(TEXT_FIELDS, "x" * 40_000) | {"phone": "1" * 5000}
    members = {f"k.{number}": [number, str(number), float(number) / 3] * 20 for number in range(1000)}
    check_same(replace(PERSON, **texts, metadata=members))


@bounded
@given(
    st.builds(
        Draft,
        name=strategies.texts,
        email=strategies.texts.map(ascii),
        phone=strategies.texts.map(ascii),
        preferences=strategies.texts,
        metadata=st.none() | strategies.metadata,
        verified_at=st.none() | strategies.moments,
    ),
    strategies.texts,
    st.booleans(),
)
def test_any_newborn_becomes_the_same_document(draft: Draft, fingerprint: str, trusted: bool) -> None:
    """Born at the time in its id, verified then if it is trusted and says nothing else."""
    written = compiled.newborn("demo", PERSON.id, draft, fingerprint, trusted)
    assert written == newborn_in_python(draft, fingerprint, trusted=trusted)
    assert StoredContact.born("demo", PERSON.id, draft, fingerprint, trusted=trusted).document == written


@pytest.mark.parametrize(
    "draft",
    [Draft(email="ä@x"), Draft(phone="\uff11"), Draft(metadata={"a": 2**64}), Draft(name="\ud800")],
)
def test_a_newborn_that_is_left_to_python(draft: Draft) -> None:
    """An address that is not ASCII, a number without end: Python makes the document, or the error."""
    assert compiled.newborn("demo", PERSON.id, draft, "f", False) is None


@pytest.mark.parametrize("wrong", ["", "ct_", PERSON.id.lower(), PERSON.id[:-1] + "U", "ct_" + "Z" * 38])
def test_what_is_no_id_has_no_time(wrong: str) -> None:
    """It is left to Python."""
    assert compiled.newborn("demo", wrong, Draft(), "f", True) is None


def test_what_has_no_fields_of_a_contact_is_an_error() -> None:
    """A mistake in a call shows at once."""
    with pytest.raises(AttributeError):
        compiled.document("demo", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        compiled.document("demo")  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        compiled.newborn("demo", PERSON.id, None, "f", True)  # type: ignore[arg-type]


def test_narrowed_terms_are_stored_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of collisions see them in the database, too."""
    monkeypatch.setattr(terms, "BITS", 4)
    assert set(StoredContact.of("demo", PERSON).contact.metadata) == set(PERSON.metadata)
    stored = bson.decode(StoredContact.of("demo", PERSON).document)["terms"]
    assert stored == terms.of_contact("demo", PERSON)
