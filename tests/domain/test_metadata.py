"""Metadata: what is kept of it, and how patches merge."""

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given

from service.domain import metadata
from service.domain.contact import Draft, Metadata
from service.domain.errors import MetadataInvalid
from service.domain.validation import checked_draft
from tests.domain import strategies
from tests.domain.strategies import bounded, canonical

LARGEST = 2**53 - 1


def kept(raw: Metadata) -> Metadata:
    """What a new contact keeps of the metadata that was sent."""
    found = checked_draft(Draft(metadata=raw)).metadata
    assert found is not None
    return found


def holds_null_member(value: Any) -> bool:
    if isinstance(value, dict):
        return any(member is None or holds_null_member(member) for member in value.values())
    return isinstance(value, list) and any(map(holds_null_member, value))


@pytest.mark.parametrize(
    ("stored", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        # The cases that are no objects, as members of one.
        ({"x": ["a", "b"]}, {"x": ["c", "d"]}, {"x": ["c", "d"]}),
        ({"x": {"a": "b"}}, {"x": ["c"]}, {"x": ["c"]}),
        ({"x": {"a": "foo"}}, {"x": None}, {}),
        ({"x": {"a": "foo"}}, {"x": "bar"}, {"x": "bar"}),
        ({"x": [1, 2]}, {"x": {"a": "b", "c": None}}, {"x": {"a": "b"}}),
    ],
)
def test_merging_follows_the_examples_of_the_rfc(stored: Metadata, patch: Metadata, result: Metadata) -> None:
    """The cases of RFC 7396, Appendix A, give the results that stand there."""
    assert metadata.merged(stored, metadata.normalised(patch)) == result


def test_merging_takes_keys_as_they_are() -> None:
    """A dot or a dollar in a key has no meaning: `a.b` is another member than `b` in `a`."""
    stored = {"a": {"b": 1}, "$set": 1}
    assert metadata.merged(stored, {"a.b": 2, "$unset": "a"}) == {**stored, "a.b": 2, "$unset": "a"}


@bounded
@given(strategies.metadata, strategies.patches)
def test_merging_twice_is_merging_once(stored: Metadata, patch: Metadata) -> None:
    """A retry of the same patch changes nothing more."""
    patch = metadata.normalised(patch)
    once = metadata.merged(stored, patch)
    assert canonical(metadata.merged(once, patch)) == canonical(once)


@bounded
@given(strategies.metadata, strategies.patches)
def test_a_null_member_is_never_stored(stored: Metadata, patch: Metadata) -> None:
    """Whatever was merged, no object in the result has a member that is null, in lists neither."""
    assert not holds_null_member(metadata.merged(stored, metadata.normalised(patch)))


@bounded
@given(strategies.metadata)
def test_merging_nothing_changes_nothing(stored: Metadata) -> None:
    """An empty patch leaves all as it is, and merged into nothing the metadata is itself."""
    assert canonical(metadata.merged(stored, {})) == canonical(stored)
    assert canonical(metadata.merged({}, stored)) == canonical(stored)


@bounded
@given(strategies.metadata, strategies.patches)
def test_merging_leaves_its_inputs_alone(stored: Metadata, patch: Metadata) -> None:
    """The stored value and the patch are the same afterwards: a lost write can be tried again."""
    patch = metadata.normalised(patch)
    before = copy.deepcopy((stored, patch))
    metadata.merged(stored, patch)
    assert canonical((stored, patch)) == canonical(before)


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"a": {"c": {"d": None}}}, {"a": {"b": 1, "c": {"e": 3}}, "f": 4}),
        ({"a": {"c": {"d": {"x": 5}}}}, {"a": {"b": 1, "c": {"d": {"x": 5}, "e": 3}}, "f": 4}),
        ({"a": {"c": {}}}, {"a": {"b": 1, "c": {"d": 2, "e": 3}}, "f": 4}),
        ({"a": {"c": {"x": {"y": None}}}}, {"a": {"b": 1, "c": {"d": 2, "e": 3, "x": {}}}, "f": 4}),
    ],
)
def test_objects_merge_at_every_level(patch: Metadata, result: Metadata) -> None:
    """A patch deep inside leaves the members beside its path as they are."""
    stored = {"a": {"b": 1, "c": {"d": 2, "e": 3}}, "f": 4}
    assert metadata.merged(stored, metadata.normalised(patch)) == result


@bounded
@given(strategies.metadata, strategies.patches)
def test_members_that_a_patch_does_not_name_stay(stored: Metadata, patch: Metadata) -> None:
    """A patch touches the members that it names and no other, at any level."""
    patch = metadata.normalised(patch)
    merged = metadata.merged(stored, patch)
    assert canonical(beside(merged, patch)) == canonical(beside(stored, patch))
    assert merged.keys() <= stored.keys() | patch.keys()


def beside(members: Any, patch: Metadata) -> Metadata:
    """What of these members a patch does not name, objects within objects included."""
    found = {}
    for key, value in members.items() if isinstance(members, dict) else ():
        if key not in patch:
            found[key] = value
        elif isinstance(patch[key], dict) and (below := beside(value, patch[key])):
            found[key] = below
    return found


@bounded
@given(strategies.metadata)
def test_what_is_kept_is_kept_again_unchanged(stored: Metadata) -> None:
    """Metadata that was read can be sent back: nothing in it changes."""
    assert canonical(kept(stored)) == canonical(stored)


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        ({"a": None}, {}),
        ({"a": {"b": None}}, {"a": {}}),
        ({"a": [None, 1, None]}, {"a": [None, 1, None]}),
        ({"a": [[None]]}, {"a": [[None]]}),
        ({"a": [{"b": None, "c": 1}]}, {"a": [{"c": 1}]}),
        ({"a": [{"b": {"c": None}}]}, {"a": [{"b": {}}]}),
        ({"a": [[{"b": None}], {"c": [None]}]}, {"a": [[{}], {"c": [None]}]}),
    ],
)
def test_null_elements_stay_and_null_members_go(raw: Metadata, result: Metadata) -> None:
    """Null in a list is a value; a null member of an object, in a list too, is dropped."""
    assert kept(raw) == result


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (-0.0, "0"),
        (0.0, "0"),
        (1.0, "1"),
        (-3.0, "-3"),
        (1.5, "1.5"),
        (5e-324, "5e-324"),
        (-5e-324, "-5e-324"),
        (float(LARGEST), "9007199254740991"),
        (float(-LARGEST), "-9007199254740991"),
        (LARGEST / 2, "4503599627370495.5"),
        (0.1 + 0.2, "0.30000000000000004"),
    ],
)
def test_whole_numbers_are_integers_and_others_stay(sent: float, shown: str) -> None:
    """A whole number below 2^53 becomes an integer, -0 is 0, any other keeps every digit."""
    assert json.dumps(kept({"a": sent, "b": [sent], "c": {"d": sent}})) == (
        f'{{"a": {shown}, "b": [{shown}], "c": {{"d": {shown}}}}}'
    )


@pytest.mark.parametrize("number", [2.0**53, -(2.0**53), 2.0**53 + 2, 1e20, -1e20, 1.7976931348623157e308])
def test_whole_numbers_that_are_not_exact_are_refused(number: float) -> None:
    """From 2^53 on a whole number is refused, with the advice to send it as text."""
    with pytest.raises(MetadataInvalid, match="send it as text"):
        metadata.normalised({"a": number})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["member", "element", "deep"])
def test_what_is_no_number_is_refused(number: float, place: str) -> None:
    """NaN and the infinities are refused wherever they stand."""
    raw = {"member": {"a": number}, "element": {"a": [number]}, "deep": {"a": [{"b": number}]}}[place]
    with pytest.raises(MetadataInvalid):
        metadata.normalised(raw)


def test_booleans_stay_booleans() -> None:
    """True is not 1, neither as a member nor in a list."""
    found = kept({"a": True, "b": [False], "c": 1.0})
    assert [found["a"], found["b"][0], found["c"]] == [True, False, 1]
    assert [type(found["a"]), type(found["b"][0]), type(found["c"])] == [bool, bool, int]
