"""The filter language: which contacts a filter asks for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain import filters, ids
from service.domain.contact import Contact
from service.domain.filters import ContactFilter

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
ID = ids.lower_bound("demo", 1_767_225_600_000)
CONTACT = Contact(id=ID, fingerprint="user:1", trusted=True, updated_at=MOMENT)


def asks_metadata(raw: dict[str, Any], stored: dict[str, Any]) -> bool:
    """Whether a contact with this metadata matches a filter of this metadata."""
    wanted = ContactFilter(metadata=filters.metadata_conditions(raw))
    return wanted.matches(replace(CONTACT, metadata=stored))


def test_no_filter_is_everybody() -> None:
    """A filter without a term matches every contact."""
    assert ContactFilter().matches(CONTACT)


@pytest.mark.parametrize(
    ("raw", "stored"),
    [
        ({"a": 1}, {"a": 1}),
        ({"a": 1.0}, {"a": 1}),
        ({"a": -0.0}, {"a": 0}),
        ({"a": 1.5}, {"a": 1.5}),
        ({"a": "x"}, {"a": "x", "b": 2}),
        ({"a": ""}, {"a": ""}),
        ({"a": False}, {"a": False}),
        ({"a": 1}, {"a": [2, 1]}),
        ({"a": True}, {"a": [1, True]}),
        ({"a": [1, 2]}, {"a": [3, 2, 1]}),
        ({"a": [1, 1]}, {"a": [1]}),
        ({"a": [1, True]}, {"a": [True, 1]}),
        ({"a": ["x"]}, {"a": [None, ["y"], {"b": 1}, "x"]}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": [1]}}, {"a": {"b": [1, 2]}}),
        ({"$ne": "x"}, {"$ne": "x"}),
        ({"a": {"$gt": 1}}, {"a": {"$gt": 1}}),
        ({"a.b": 1}, {"a.b": 1}),
        ({"": 1}, {"": 1}),
    ],
)
def test_metadata_matches(raw: dict[str, Any], stored: dict[str, Any]) -> None:
    """A scalar meets its equal or a list that holds it, a list one that holds all, an object leaf by leaf."""
    assert asks_metadata(raw, stored)


@pytest.mark.parametrize(
    ("raw", "stored"),
    [
        ({"a": 1}, {}),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": True}),
        ({"a": True}, {"a": 1}),
        ({"a": False}, {"a": 0}),
        ({"a": "true"}, {"a": True}),
        ({"a": "1"}, {"a": 1}),
        ({"a": 1}, {"a": "1"}),
        ({"a": "x"}, {"a": "X"}),
        ({"a": 1}, {"a": {"b": 1}}),
        ({"a": 1}, {"a": [[1]]}),
        ({"a": 1}, {"a": [True, "1"]}),
        ({"a": 1}, {"a": []}),
        ({"a": "x"}, {"a": "xy"}),
        ({"a": [1]}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [1]}),
        ({"a": [1]}, {"a": [True]}),
        ({"a": [1]}, {"a": {"b": [1]}}),
        ({"a": {"b": 1}}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": [{"b": 1}]}),
        ({"a": {"b": 1}}, {"a.b": 1}),
        ({"a.b": 1}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}),
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"a": {"$ne": 1}}, {"a": 2}),
        ({"a": {"$exists": True}}, {"a": 1}),
        ({"a": "None"}, {"a": [None]}),
    ],
)
def test_metadata_does_not_match(raw: dict[str, Any], stored: dict[str, Any]) -> None:
    """Types, case and structure count, operators do not exist, and every leaf must be met."""
    assert not asks_metadata(raw, stored)


@pytest.mark.parametrize(
    ("path", "stored", "exists"),
    [
        ("a", {"a": 1}, True),
        ("a", {"a": {}}, True),
        ("a", {"a": []}, True),
        ("a", {"a": ""}, True),
        ("a", {"a": False}, True),
        ("a.b", {"a": {"b": [None]}}, True),
        ("`a.b`", {"a.b": 1}, True),
        ("a", {}, False),
        ("a.b", {"a": {}}, False),
        ("a.b", {"a": 1}, False),
        ("a.b", {"a.b": 1}, False),
        ("`a.b`", {"a": {"b": 1}}, False),
        ("a.b", {"a": [{"b": 1}]}, False),
        ("a.0", {"a": [1]}, False),
        ("a.0", {"a": "x"}, False),
    ],
)
def test_a_path_exists_whatever_its_value(path: str, stored: dict[str, Any], exists: bool) -> None:
    """A path leads through objects, not into lists or texts, and its end may be anything."""
    wanted = ContactFilter(metadata_exists=(filters.path(path),))
    assert wanted.matches(replace(CONTACT, metadata=stored)) == exists


@pytest.mark.parametrize(
    ("wanted", "contact", "matches"),
    [
        ({"emails": ("ann@x",)}, {"email": " ANN@X"}, True),
        ({"emails": ("ann@x", "bo@x")}, {"email": "bo@x"}, True),
        ({"emails": ("ann@x",)}, {"email": "bo@x"}, False),
        ({"emails": ("ann@x",)}, {}, False),
        ({"emails": ("ann@x",)}, {"name": "ann@x"}, False),
        ({"phones": ("+4930",)}, {"phone": "0049 (30)"}, True),
        ({"phones": ("+4930",)}, {"phone": "4930"}, False),
        ({"fingerprints": ("user:1",)}, {}, True),
        ({"fingerprints": ("USER:1",)}, {}, False),
        ({"fingerprints": ("user:1",)}, {"trusted": False}, True),
        ({"ids": (ID,)}, {}, True),
        ({"ids": (ids.lower_bound("demo", 0),)}, {}, False),
        ({"trusted": True}, {}, True),
        ({"trusted": False}, {}, False),
        ({"trusted": False}, {"trusted": False}, True),
        ({"verified": True}, {}, False),
        ({"verified": True}, {"verified_at": MOMENT}, True),
        ({"verified": False}, {}, True),
        ({"verified": False}, {"verified_at": MOMENT}, False),
        ({"emails": ("ann@x",), "trusted": False}, {"email": "ann@x"}, False),
    ],
)
def test_each_term_must_be_met(wanted: dict[str, Any], contact: dict[str, Any], matches: bool) -> None:
    """Lists mean any of their values, terms are ANDed; addresses and numbers meet in normal form."""
    assert ContactFilter(**wanted).matches(replace(CONTACT, **contact)) == matches


@pytest.mark.parametrize("name", ["created", "updated"])
@pytest.mark.parametrize(
    ("after", "before", "matches"),
    [
        (MOMENT, None, True),
        (MOMENT + MILLISECOND, None, False),
        (None, MOMENT, False),
        (None, MOMENT + MILLISECOND, True),
        (MOMENT, MOMENT + MILLISECOND, True),
        (MOMENT, MOMENT, False),
        (MOMENT - MILLISECOND, MOMENT, False),
        (MOMENT + MILLISECOND, MOMENT - MILLISECOND, False),
        (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), True),
    ],
)
def test_times_are_half_open_ranges(
    name: str, after: datetime | None, before: datetime | None, matches: bool
) -> None:
    """The lower bound belongs to the range, the upper one does not."""
    wanted = ContactFilter(**{f"{name}_after": after, f"{name}_before": before})
    other = MOMENT + timedelta(days=1)
    contact = {
        "created": replace(CONTACT, updated_at=other),
        "updated": replace(CONTACT, id=ids.lower_bound("demo", 0)),
    }[name]
    assert wanted.matches(contact) == matches
