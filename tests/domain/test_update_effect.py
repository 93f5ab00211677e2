"""What a contact is after an update, and what keeps it as it was."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from service.domain import update
from service.domain.contact import Draft, Metadata
from service.domain.errors import (
    EtagMismatch,
    InvalidField,
    MetadataInvalid,
    ScopeMissing,
)
from tests.domain import strategies
from tests.domain.changes import CREATED, FULL, NOW, STORED, WRITABLE, applied
from tests.domain.strategies import bounded, canonical


@pytest.mark.parametrize(
    ("sent", "result"),
    [
        ({"plan": "free"}, {"plan": "free", "address": {"city": "Oslo", "zip": "0150"}}),
        ({"address": {"zip": None}}, {"plan": "pro", "address": {"city": "Oslo"}}),
        ({"address": ["Oslo"]}, {"plan": "pro", "address": ["Oslo"]}),
        ({"plan": None, "address": None}, {}),
    ],
)
def test_metadata_merges(sent: Metadata, result: Metadata) -> None:
    """By default the metadata that was sent is a merge patch, with and without a mask."""
    assert applied(Draft(metadata=sent)).metadata == result
    assert applied(Draft(metadata=sent), "metadata").metadata == result
    assert applied(Draft(metadata=sent), "*").metadata == result


@pytest.mark.parametrize(
    ("sent", "result"),
    [
        ({"a": 1}, {"a": 1}),
        ({}, {}),
        ({"a": None, "b": {"c": None}, "d": [None]}, {"b": {}, "d": [None]}),
    ],
)
def test_metadata_is_replaced_when_asked(sent: Metadata, result: Metadata) -> None:
    """As a replacement nothing of the stored metadata stays, and null members are dropped."""
    assert applied(Draft(metadata=sent), replace_metadata=True).metadata == result


def test_the_merged_metadata_counts_not_the_patch() -> None:
    """Two patches that are fine alone are refused where the result breaks a limit."""
    stored = replace(STORED, metadata={f"a{number}": number for number in range(200)})
    patch = {f"b{number}": number for number in range(57)}
    with pytest.raises(MetadataInvalid):
        applied(Draft(metadata=patch), contact=stored)
    room = patch | {"a0": None}
    assert len(applied(Draft(metadata=room), contact=stored).metadata) == 256


def test_an_etag_must_be_the_current_one() -> None:
    """The etag of the stored contact lets the update pass, another one stops it."""
    assert applied(Draft(name="Bo"), etag=STORED.etag).name == "Bo"
    with pytest.raises(EtagMismatch):
        applied(Draft(name="Bo"), etag="6")
    with pytest.raises(EtagMismatch):
        applied(Draft(name="Bo"), etag="07")


def test_an_etag_is_checked_before_all_else() -> None:
    """An old etag is told even where nothing would change, or more is wrong."""
    with pytest.raises(EtagMismatch):
        applied(Draft(name=STORED.name), etag="6")
    with pytest.raises(EtagMismatch):
        applied(Draft(fingerprint="d1:x"), etag="6", may_change_fingerprint=False)


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        (Draft(), ()),
        (Draft(name="Ann"), ()),
        (Draft(name="Ann"), ("name",)),
        (Draft(metadata={}), ("metadata",)),
        (Draft(metadata={"plan": "pro"}), ()),
        (Draft(metadata={"address": {"zip": "0150", "none": None}}), ()),
        (Draft(verified_at=CREATED), ("verified_at",)),
        (Draft(fingerprint="user:1"), ("fingerprint",)),
    ],
)
def test_an_update_that_changes_nothing_is_the_same_object(values: Draft, paths: tuple[str, ...]) -> None:
    """Nothing is written then: not the etag, not the time."""
    assert applied(values, *paths) is STORED


def test_a_contact_that_is_sent_back_is_the_same_object() -> None:
    """Reading a contact and writing all of it back changes nothing, also as a replacement."""
    values = Draft(**{name: getattr(STORED, name) for name in WRITABLE})
    assert applied(values, "*", replace_metadata=True) is STORED


@pytest.mark.parametrize(
    ("stored", "sent"),
    [({"n": 1}, {"n": 1.0}), ({"n": 1.0}, {"n": 1}), ({"n": [1, {"m": 2}]}, {"n": [1.0, {"m": 2.0}]})],
)
def test_one_is_one_point_zero(stored: Metadata, sent: Metadata) -> None:
    """The same number in the other notation is no change, at any depth."""
    contact = replace(STORED, metadata=stored)
    assert applied(Draft(metadata=sent), contact=contact) is contact


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ({"n": 1}, {"n": True}),
        ({"n": False}, {"n": 0}),
        ({"n": {"m": True}}, {"n": {"m": 1}}),
        ({"n": [0]}, {"n": [False]}),
        ({"n": [[True]]}, {"n": [[1]]}),
        ({"n": [None]}, {"n": [False]}),
        ({"n": 1}, {"n": "1"}),
        ({"n": [1, 2]}, {"n": [2, 1]}),
        ({"n": [1]}, {"n": [1, 1]}),
        ({"n": {}}, {"n": []}),
        ({"n": ""}, {"n": {}}),
    ],
)
def test_another_type_or_order_is_a_change(stored: Metadata, sent: Metadata) -> None:
    """True is not 1, a text is no number, lists have an order."""
    contact = replace(STORED, metadata=stored)
    changed = applied(Draft(metadata=sent), contact=contact)
    assert (changed.metadata, changed.rev) == (sent, 8)
    assert repr(changed.metadata) == repr(sent)


def test_the_order_of_members_is_no_change() -> None:
    """Objects are sets of members: another order is the same metadata."""
    reordered = {"address": {"zip": "0150", "city": "Oslo"}, "plan": "pro"}
    assert applied(Draft(metadata=reordered), replace_metadata=True) is STORED


def test_an_equal_fingerprint_needs_no_scope() -> None:
    """A contact that is sent back may carry its fingerprint, and the rest of the change applies."""
    assert applied(Draft(fingerprint="user:1"), may_change_fingerprint=False) is STORED
    changed = applied(Draft(fingerprint="user:1", name="Bo"), may_change_fingerprint=False)
    assert (changed.fingerprint, changed.name) == ("user:1", "Bo")


def test_an_equal_fingerprint_of_the_service_may_be_sent_back() -> None:
    """Only another fingerprint is held to the rules for those that callers supply."""
    contact = replace(STORED, fingerprint="d1:x", trusted=False)
    assert applied(Draft(fingerprint="d1:x"), "*", contact=contact).fingerprint == "d1:x"


def test_another_fingerprint_needs_the_scope_and_keeps_the_class() -> None:
    """With the scope `trust` the fingerprint changes; `trusted` stays what it was at birth."""
    with pytest.raises(ScopeMissing):
        applied(Draft(fingerprint="user:2", name="Bo"), may_change_fingerprint=False)
    untrusted = replace(STORED, trusted=False)
    changed = applied(Draft(fingerprint="user:2"), contact=untrusted)
    assert (changed.fingerprint, changed.trusted) == ("user:2", False)


@pytest.mark.parametrize("fingerprint", ["d1:x", "r1:x", "q2:x", " user:2", "user:2 ", "a\nb", "x" * 513])
def test_another_fingerprint_follows_the_rules(fingerprint: str) -> None:
    """A fingerprint that no caller may supply cannot come in by an update."""
    with pytest.raises(InvalidField):
        applied(Draft(fingerprint=fingerprint))


@pytest.mark.parametrize(
    ("now", "shown"), [(NOW, NOW), (CREATED, CREATED), (CREATED - timedelta(days=1), CREATED)]
)
def test_the_time_of_the_last_change_never_goes_back(now: datetime, shown: datetime) -> None:
    """With a clock that went back the time stays; the etag changes all the same."""
    changed = applied(Draft(name="Bo"), now=now)
    assert (changed.updated_at, changed.rev) == (shown, 8)


def test_each_change_counts_once() -> None:
    """The etag differs after each change, however many fields it has, and stays without one."""
    first = applied(FULL)
    same = applied(FULL, contact=first)
    second = applied(Draft(name="Cy"), contact=same)
    assert [first.etag, same.etag, second.etag] == ["8", "8", "9"]


def test_id_class_and_birth_stay() -> None:
    """No update touches what was fixed at birth, not even one of everything."""
    changed = applied(FULL, "*")
    assert (changed.id, changed.trusted, changed.created_at) == (STORED.id, True, CREATED)


@bounded
@given(strategies.metadata, strategies.patches)
def test_an_update_that_is_repeated_changes_nothing_more(stored: Metadata, patch: Metadata) -> None:
    """Updates without an etag are idempotent: the retry is the very same object."""
    contact = replace(STORED, metadata=stored)
    once = applied(Draft(metadata=patch, name="Bo"), contact=contact)
    assert applied(Draft(metadata=patch, name="Bo"), contact=once) is once
    swapped = applied(Draft(metadata=patch), contact=contact, replace_metadata=True)
    assert applied(Draft(metadata=patch), contact=swapped, replace_metadata=True) is swapped


@bounded
@given(strategies.stored_values, strategies.stored_values)
def test_sameness_is_equality_of_the_json(one: Any, other: Any) -> None:
    """Two values are the same exactly when canonical JSON of both is, once whole numbers are integers."""
    assert update.same(one, other) == (canonical(one) == canonical(other))
    assert update.same(one, one)
