"""What becomes of a row, by rules alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain import identity, ids, importing
from service.domain.contact import Contact, Draft
from service.domain.errors import (
    ContactNotOwned,
    IdTaken,
    InvalidField,
    MetadataInvalid,
    NoIdentity,
    ScopeMissing,
)
from service.domain.importing import Plan, Said

ACCOUNT = "demo"
MOMENT = datetime(2024, 2, 29, 8, 0, 0, 123000, tzinfo=UTC)
ID = ids.at(ACCOUNT, importing.milliseconds(MOMENT), 7)
OTHER = ids.at(ACCOUNT, importing.milliseconds(MOMENT), 8)
TRUSTING, OTHERS = Plan(), Plan(trusting=False)


def row(draft: Draft | None = None, **said: Any) -> importing.Row:
    return importing.checked(ACCOUNT, Said(draft or Draft(name="Ann"), **said))


def contact(contact_id: str = ID, fingerprint: str = "f", *, trusted: bool = True) -> Contact:
    return Contact(contact_id, fingerprint, trusted, MOMENT)


def test_an_id_has_the_time_that_it_is_made_of() -> None:
    """And all random bits, and belongs to its account."""
    assert ids.created_at(ID) == MOMENT
    assert ids.owned(ACCOUNT, ID) == ID
    assert ID.endswith("7")
    assert ids.at(ACCOUNT, 0, 2**80 - 1).endswith("0" * 10 + "Z" * 16)
    last = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    assert ids.created_at(ids.at(ACCOUNT, importing.milliseconds(last), 0)) == last


@pytest.mark.parametrize("text", ["d1:" + "a2" * 26, "q1:" + "z7" * 26, "r1:" + "a" * 32])
def test_texts_that_the_service_gives_out_come_back(text: str) -> None:
    """In untrusted rows, and in no trusted one."""
    assert row(Draft(fingerprint=text)).fingerprint == text
    with pytest.raises(InvalidField):
        row(Draft(fingerprint=text), trusted=True)


@pytest.mark.parametrize(
    "text", ["d1:", "d1:" + "a" * 51, "r1:" + "a" * 52, "q1:" + "A" * 52, "d1:" + "1" * 52, "d2:" + "a" * 52]
)
def test_texts_that_only_look_like_it_do_not(text: str) -> None:
    """Nobody takes what a later version will give out."""
    for trusted in (False, True):
        with pytest.raises(InvalidField):
            row(Draft(fingerprint=text), trusted=trusted)


def test_all_texts_that_are_given_out_are_known_as_such() -> None:
    """Derived, from a request id and drawn."""
    for text in (
        identity.derived_fingerprint(ACCOUNT, Draft(name="Ann")),
        identity.request_fingerprint(ACCOUNT, "r"),
        identity.random_fingerprint(bytes(range(32))),
    ):
        assert identity.is_given_out(text)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Said(), NoIdentity),
        (Said(Draft(description="x")), NoIdentity),
        (Said(Draft(name="Ann"), trusted=True), InvalidField),
        (Said(Draft(name="Ann"), id="ct_x"), InvalidField),
        (Said(Draft(name="Ann"), id=ids.at("other", 1, 1)), ContactNotOwned),
        (Said(Draft(name="Ann"), id=ID, created_at=MOMENT + timedelta(milliseconds=1)), InvalidField),
        (Said(Draft(name="Ann"), created_at=datetime(1969, 12, 31, tzinfo=UTC)), InvalidField),
        (Said(Draft(name="Ann", metadata={"a": ["x" * 2**15]})), MetadataInvalid),
    ],
    ids=str,
)
def test_rows_that_break_a_rule(said: Said, error: type[Exception]) -> None:
    """Known without any contact."""
    with pytest.raises(error):
        importing.checked(ACCOUNT, said)


def test_the_contact_of_the_id_comes_first() -> None:
    """Then that of the fingerprint and class; without either, there is one to create."""
    one, other = contact(), contact(OTHER, "d1:x", trusted=False)
    guest = row(id=ID)
    assert importing.contact_of(guest, one, other, TRUSTING) is one
    assert importing.contact_of(guest, None, other, TRUSTING) is other
    assert importing.contact_of(guest, None, None, TRUSTING) is None


@pytest.mark.parametrize("plan", [TRUSTING, OTHERS], ids=["trusting", "not"])
def test_a_fingerprint_has_to_be_that_of_the_id(plan: Plan) -> None:
    """Equal in text and class, or the id is taken; who may not say fingerprints hears that first."""
    same = row(Draft(fingerprint="f"), id=ID, trusted=True)
    assert importing.contact_of(same, contact(), None, plan) == contact()
    for found in (contact(fingerprint="g"), contact(trusted=False)):
        with pytest.raises(IdTaken if plan is TRUSTING else ScopeMissing):
            importing.contact_of(same, found, contact(OTHER), plan)


def test_a_fingerprint_alone_needs_trust() -> None:
    """Whether somebody has it or not: the answer tells nothing."""
    keyed = row(Draft(fingerprint="f"), trusted=True)
    for found in (None, contact()):
        with pytest.raises(ScopeMissing):
            importing.contact_of(keyed, None, found, OTHERS)
        assert importing.contact_of(keyed, None, found, TRUSTING) is found


def test_an_id_alone_makes_nobody() -> None:
    """It is enough for somebody who is there."""
    bare = row(Draft(description="x"), id=ID)
    assert importing.contact_of(bare, contact(), None, TRUSTING) == contact()
    with pytest.raises(NoIdentity):
        importing.contact_of(bare, None, None, TRUSTING)


def test_rows_of_one_contact_have_a_key_in_common() -> None:
    """The id or fingerprint and class; the class makes another one."""
    assert row(id=ID).keys & row(Draft(name="Bob"), id=ID).keys
    assert row().keys & row(Draft(name="ANN ")).keys
    assert not row(Draft(fingerprint="f"), trusted=True).keys & row(Draft(fingerprint="f")).keys


def test_null_members_are_never_stored() -> None:
    """In a contact that a row creates."""
    made = importing.created(row(Draft(name="Ann", metadata={"a": None, "b": {"c": None}})), ID)
    assert made.metadata == {"b": {}}
