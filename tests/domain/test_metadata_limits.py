"""The limits of metadata, each at its edge and one beyond."""

import math
from typing import Any

import pytest

from service.domain import metadata
from service.domain.contact import Draft, Metadata
from service.domain.errors import MetadataInvalid
from service.domain.validation import checked_draft


def kept(raw: Metadata) -> Metadata:
    """What a new contact keeps of the metadata that was sent."""
    found = checked_draft(Draft(metadata=raw)).metadata
    assert found is not None
    return found


def nested_objects(levels: int) -> Metadata:
    found: Metadata = {}
    for _ in range(levels - 1):
        found = {"a": found}
    return found


def nested_lists(levels: int) -> Metadata:
    """An object with lists in it, with `levels` levels in all."""
    found: Any = 1
    for _ in range(levels - 1):
        found = [found]
    return {"a": found}


@pytest.mark.parametrize("nested", [nested_objects, nested_lists])
def test_sixteen_levels_are_the_most(nested: Any) -> None:
    """The object itself is the first level and lists count: 16 are kept, 17 are refused."""
    assert kept(nested(16)) == nested(16)
    with pytest.raises(MetadataInvalid, match="16 levels"):
        kept(nested(17))


def test_a_patch_of_nulls_has_no_more_levels_than_metadata() -> None:
    """A patch that only deletes is held to the same depth."""
    with pytest.raises(MetadataInvalid, match="16 levels"):
        metadata.normalised({"x": nested_objects(16)})


def test_levels_inside_lists_count_too() -> None:
    """An object in a list stands one level below the list."""
    assert kept({"a": [nested_objects(14)]}) == {"a": [nested_objects(14)]}
    with pytest.raises(MetadataInvalid, match="16 levels"):
        kept({"a": [nested_objects(15)]})


@pytest.mark.parametrize(
    "of",
    [
        lambda leaves: {f"k{number}": number for number in range(leaves)},
        lambda leaves: {"a": list(range(leaves))},
        lambda leaves: {"a": [[number] for number in range(leaves)]},
        lambda leaves: {"a": [None] * leaves},
        lambda leaves: {f"k{number}": {} for number in range(leaves)},
        lambda leaves: {"a": [[]] * leaves},
        lambda leaves: {"a": {"b": [1] * (leaves - 2)}, "c": {"d": "x", "e": True}},
    ],
    ids=["members", "elements", "lists in a list", "nulls", "empty objects", "empty lists", "mixed"],
)
def test_two_hundred_and_fifty_six_leaves_are_the_most(of: Any) -> None:
    """Scalars, list elements and empty containers are leaves: 256 are kept, 257 are refused."""
    assert kept(of(256)) == of(256)
    with pytest.raises(MetadataInvalid, match="256 leaves"):
        kept(of(257))


def test_members_that_are_dropped_are_no_leaves() -> None:
    """Null members do not count: what counts is what is kept."""
    raw = {f"k{number}": number for number in range(256)} | {f"n{number}": None for number in range(100)}
    assert len(kept(raw)) == 256


@pytest.mark.parametrize(
    "of",
    [
        lambda size: {"a": "x" * (size - len('{"a":""}'))},
        lambda size: {"a": "\u00e9" * ((size - len('{"a":""}')) // 2)},
        lambda size: {"a": "x" * (size - len('{"a":"","b":[1,2.5]}')), "b": [1.0, 2.5]},
        lambda size: {"a": '"' * ((size - len('{"a":""}')) // 2)},
    ],
    ids=["ascii", "two bytes", "with numbers", "escaped"],
)
def test_thirty_two_kib_of_compact_json_are_the_most(of: Any) -> None:
    """UTF-8 bytes of compact JSON count: 32 KiB are kept, more are refused."""
    assert kept(of(32768)) == of(32768)
    with pytest.raises(MetadataInvalid, match="32768 bytes"):
        kept(of(32770))


def test_one_byte_beyond_thirty_two_kib_is_refused() -> None:
    """The edge of the size is exact to the byte."""
    with pytest.raises(MetadataInvalid, match="32768 bytes"):
        kept({"a": "x" * (32769 - len('{"a":""}'))})


@pytest.mark.parametrize(
    "key", ["a", "x" * 128, "\u00e9" * 64, "\U0001f600" * 32, " ", ".", "$ne", "\x00", "_id", "`"]
)
def test_any_key_of_1_to_128_bytes_is_legal(key: str) -> None:
    """Dots, dollars, NUL and any Unicode text are keys like others, at every depth."""
    assert kept({key: {key: [{key: 1}]}}) == {key: {key: [{key: 1}]}}


@pytest.mark.parametrize("key", ["", "x" * 129, "\u00e9" * 64 + "x", "\U0001f600" * 32 + "x"])
@pytest.mark.parametrize("place", ["member", "deep", "in a list", "deleting"])
def test_a_key_beyond_its_limits_is_refused(key: str, place: str) -> None:
    """No key is empty or longer than 128 bytes of UTF-8, wherever it stands."""
    raw = {
        "member": {key: 1},
        "deep": {"a": {key: 1}},
        "in a list": {"a": [{key: 1}]},
        "deleting": {key: None},
    }[place]
    with pytest.raises(MetadataInvalid, match="1 to 128 bytes"):
        metadata.normalised(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"canary" * 30: 1},
        {"a": ["canary"] * 257},
        {"canary": "canary" * 6000},
        {"canary": {"canary": math.nan}},
    ],
)
def test_an_error_never_tells_keys_or_values(raw: Metadata) -> None:
    """Metadata is personal data: errors name the field and the rule only."""
    with pytest.raises(MetadataInvalid) as caught:
        kept(raw)
    assert "canary" not in repr((str(caught.value), caught.value.violations, caught.value.metadata))
    assert [violation.field for violation in caught.value.violations] == ["contact.metadata"]
