"""The filter language: how a filter is read, and what is none."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import filters, identity, ids
from service.domain.contact import Contact
from service.domain.errors import ContactNotOwned, FilterInvalid
from service.domain.filters import ContactFilter, MetadataEquals
from service.domain.terms import Path
from tests.domain.strategies import bounded

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
ID = ids.lower_bound("demo", 1_767_225_600_000)
CONTACT = Contact(id=ID, fingerprint="user:1", trusted=True, updated_at=MOMENT)


def violation(call: Callable[[], Any]) -> tuple[str, str]:
    """The field and the rule of the one violation of a filter that is refused."""
    with pytest.raises(FilterInvalid) as caught:
        call()
    (found,) = caught.value.violations
    return found.field, found.rule


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        ("a.b.c", ("a", "b", "c")),
        ("`a.b`", ("a.b",)),
        ("`a.b`.c", ("a.b", "c")),
        ("c.`a.b`", ("c", "a.b")),
        ("`a``b`", ("a`b",)),
        ("````", ("`",)),
        ("``````", ("``",)),
        ("`a`", ("a",)),
        ("`.`.`.`", (".", ".")),
        ("$ne", ("$ne",)),
        (" a ", (" a ",)),
        ("a\nb.\u00e9", ("a\nb", "\u00e9")),
        ("`a\nb`", ("a\nb",)),
        ("%2E", ("%2E",)),
        ("0.1", ("0", "1")),
    ],
)
def test_a_path_is_keys_joined_by_dots(text: str, path: Path) -> None:
    """A key with a dot or backtick stands in backticks, doubled where it has one itself."""
    assert filters.path(text) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "`",
        "``",
        "```",
        "`a",
        "a`",
        "a`b",
        "a``b",
        "`a`b",
        "`a`.",
        "`a``",
        "a.``",
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    """Empty keys, open backticks and anything behind a closing one are FILTER_INVALID."""
    assert violation(lambda: filters.path(text))[0] == "filter.metadata_exists"


@bounded
@given(st.lists(st.text("ab.`\n ", min_size=1, max_size=4), min_size=1, max_size=4))
def test_every_path_can_be_written(steps: list[str]) -> None:
    """Quoting each key by the rule gives a text that reads back as the same path."""
    text = ".".join("`" + step.replace("`", "``") + "`" for step in steps)
    assert filters.path(text) == tuple(steps)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"a": None},
        {"a": {}},
        {"a": []},
        {"a": {"b": {}}},
        {"a": {"b": None}},
        {"a": [None]},
        {"a": [1, None]},
        {"a": [{}]},
        {"a": [{"b": 1}]},
        {"a": [[1]]},
        {"a": [[]]},
        {"a": 1, "b": None},
    ],
)
def test_what_is_no_condition_is_refused(raw: dict[str, Any]) -> None:
    """Null, empty containers and lists of anything but scalars are FILTER_INVALID, at every depth."""
    assert violation(lambda: filters.metadata_conditions(raw))[0] == "filter.metadata"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 2.0**53, -1e20])
@pytest.mark.parametrize("place", ["scalar", "list"])
def test_a_number_that_cannot_be_stored_is_no_condition(number: float, place: str) -> None:
    """A number that metadata refuses is refused in a filter too, not taken for no match."""
    raw = {"a": number if place == "scalar" else [number]}
    assert violation(lambda: filters.metadata_conditions(raw))[0] == "filter.metadata"


def test_an_absent_metadata_filter_is_no_condition() -> None:
    """Without metadata a filter asks for none."""
    assert filters.metadata_conditions(None) == ()


def test_equal_filters_are_read_alike() -> None:
    """Order, repetition and notation do not make another filter: a page token fits all writings."""
    one = filters.metadata_conditions({"b": {"d": 1.0, "c": "x"}, "a": [2.0, 1.0, 1.0, True]})
    other = filters.metadata_conditions({"a": [True, 1, 2], "b": {"c": "x", "d": 1}})
    assert one == other
    assert one == (
        MetadataEquals(("a",), (True, 1, 2), listed=True),
        MetadataEquals(("b", "c"), ("x",)),
        MetadataEquals(("b", "d"), (1,)),
    )


def test_true_and_one_are_two_values_of_a_list() -> None:
    """A list that asks for true and 1 keeps both."""
    (condition,) = filters.metadata_conditions({"a": [1.0, True]})
    assert sorted(map(repr, condition.values)) == ["1", "True"]


@pytest.mark.parametrize("field", ["emails", "phones", "fingerprints", "ids"])
def test_a_list_has_at_most_a_hundred_values(field: str) -> None:
    """A hundred values are taken, one more is refused, and the error names the list."""
    values = [str(number) for number in range(101)]
    assert len(filters.any_of(field, values[:100])) == 100
    assert violation(lambda: filters.any_of(field, values))[0] == f"filter.{field}"


@pytest.mark.parametrize(
    ("values", "normal"),
    [([""], str), (["x", ""], str), ([" \u00a0"], identity.normal_text), (["-()"], identity.normal_phone)],
)
def test_an_empty_value_is_refused(values: list[str], normal: Callable[[str], str]) -> None:
    """A value that is empty, or nothing in normal form, is a mistake and not everybody without one."""
    assert violation(lambda: filters.any_of("emails", values, normal))[0] == "filter.emails"


def test_values_are_kept_once_in_normal_form() -> None:
    """Spellings of one address are one value, in an order that does not depend on the caller."""
    read = filters.any_of("emails", ["B@x", "a@x", " b@X"], identity.normal_text)
    assert read == ("a@x", "b@x")


def test_no_values_are_no_condition() -> None:
    """An empty list asks for nothing."""
    assert filters.any_of("emails", []) == ()
    assert filters.owned_ids("demo", []) is None


def test_a_foreign_id_in_a_filter_is_refused() -> None:
    """An id of another account is CONTACT_NOT_OWNED, among good ones too."""
    with pytest.raises(ContactNotOwned):
        filters.owned_ids("demo", [ID, ids.lower_bound("other", 0)])


def test_malformed_ids_match_nothing() -> None:
    """Of a list of ids the wellformed ones count; with none of them, no contact matches."""
    assert filters.owned_ids("demo", [ID, "nonsense", ID.lower(), ID]) == (ID,)
    nobody = filters.owned_ids("demo", ["nonsense"])
    assert nobody == ()
    assert not ContactFilter(ids=nobody).matches(CONTACT)
    assert violation(lambda: filters.owned_ids("demo", [ID, ""]))[0] == "filter.ids"


@pytest.mark.parametrize(
    "of",
    [
        lambda count: ContactFilter(metadata=filters.metadata_conditions({f"k{n}": n for n in range(count)})),
        lambda count: ContactFilter(metadata=filters.metadata_conditions({"a": list(range(count))})),
        lambda count: ContactFilter(metadata_exists=tuple((f"k{n}",) for n in range(count))),
        lambda count: ContactFilter(
            metadata=filters.metadata_conditions({"a": {"b": 1, "c": [1, 2]}}),
            metadata_exists=tuple((f"k{n}",) for n in range(count - 3)),
        ),
    ],
    ids=["scalars", "a list", "paths", "all together"],
)
def test_sixteen_metadata_terms_are_the_most(of: Callable[[int], ContactFilter]) -> None:
    """Scalars, those of lists and paths count together: 16 are taken, 17 are refused."""
    assert filters.checked(of(16)) == of(16)
    field = "filter.metadata" if of(17).metadata else "filter.metadata_exists"
    assert violation(lambda: filters.checked(of(17)))[0] == field


@pytest.mark.parametrize(
    "call",
    [
        lambda: filters.path("canary`"),
        lambda: filters.metadata_conditions({"canary": {"canary": None}}),
        lambda: filters.any_of("emails", ["canary", ""]),
        lambda: filters.any_of("emails", ["canary"] * 101),
        lambda: filters.checked(ContactFilter(metadata_exists=(("canary",),) * 17)),
    ],
)
def test_an_error_never_tells_what_was_asked_for(call: Callable[[], Any]) -> None:
    """Filters hold personal data: errors name the field and the rule only."""
    assert "canary" not in repr(violation(call))


def test_a_path_has_at_most_as_many_keys_as_metadata_has_levels() -> None:
    """Sixteen keys are a path; seventeen are none, and a million are refused as quickly."""
    assert filters.path(".".join("k" * 16)) == ("k",) * 16
    for keys in (17, 1_000_000):
        assert violation(lambda keys=keys: filters.path(".".join("k" * keys)))[0] == "filter.metadata_exists"
