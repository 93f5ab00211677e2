"""Terms: the hashes under which contacts are found; for ever, and never shared by two meanings."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import ids, terms
from service.domain.contact import Contact
from tests.domain import strategies
from tests.domain.strategies import bounded

PLAIN = Contact(
    id=ids.lower_bound("demo", 0),
    fingerprint="user:1",
    trusted=True,
    updated_at=datetime(1970, 1, 1, tzinfo=UTC),
)


def metadata_terms(metadata: dict[str, Any]) -> set[int]:
    """The terms that the metadata adds to those of a contact without any."""
    found = set(terms.of_contact("demo", replace(PLAIN, metadata=metadata)))
    return found - set(terms.of_contact("demo", PLAIN))


def paths(*wanted: tuple[str, ...]) -> set[int]:
    return {terms.of_path("demo", path) for path in wanted}


def scalars(path: tuple[str, ...], values: Iterable[Any]) -> set[int]:
    return {terms.of_scalar("demo", path, value) for value in values}


@pytest.mark.parametrize(
    ("term", "value"),
    [
        (terms.of_email("demo", "ann@example.com"), 8069264145445630070),
        (terms.of_phone("demo", "+4930"), 4437156143527809388),
        (terms.of_flag("demo", "trusted", True), 755758652880288010),
        (terms.of_path("demo", ("address", "city")), -7176266947127101143),
        (terms.of_scalar("demo", ("address", "city"), "Oslo"), 8554536164952879584),
        (terms.of_scalar("demo", ("n",), 1), 1475571570052791622),
        (terms.of_scalar("demo", ("n",), True), -5804126943845053080),
        (terms.of_scalar("demo", ("n",), None), 6494772702388692186),
    ],
)
def test_the_bits_of_terms_never_change(term: int, value: int) -> None:
    """Stored terms are found by every later release, or filters lose contacts."""
    assert term == value


def test_a_term_is_a_hash_over_parts_with_their_lengths() -> None:
    """Anyone can compute it: 64 bits of BLAKE2b over account, kind, path, type and value, signed."""
    text = "4:demo\x005:value\x007:address\x004:city\x004:text\x004:Oslo"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    computed = int.from_bytes(digest, "big", signed=True)
    assert terms.of_scalar("demo", ("address", "city"), "Oslo") == computed


def test_a_plain_contact_has_its_class_and_whether_it_is_verified() -> None:
    """Each contact is found by both flags, in either state."""
    moment = datetime(1970, 1, 1, tzinfo=UTC)
    assert set(terms.of_contact("demo", PLAIN)) == {
        terms.of_flag("demo", "trusted", True),
        terms.of_flag("demo", "verified", False),
    }
    assert set(terms.of_contact("demo", replace(PLAIN, trusted=False, verified_at=moment))) == {
        terms.of_flag("demo", "trusted", False),
        terms.of_flag("demo", "verified", True),
    }


def test_email_and_phone_are_found_in_normal_form() -> None:
    """However an address or number is written, its term is that of the normal form."""
    found = terms.of_contact("demo", replace(PLAIN, email=" Ann@Example.com", phone="0049 (30) 1"))
    assert terms.of_email("demo", "ann@example.com") in found
    assert terms.of_phone("demo", "+49301") in found


def test_what_is_nothing_in_normal_form_has_no_term() -> None:
    """An address of spaces and a number of signs are absent."""
    blank = replace(PLAIN, email=" \u00a0", phone="-()")
    assert terms.of_contact("demo", blank) == terms.of_contact("demo", PLAIN)


def test_name_and_other_texts_have_no_terms() -> None:
    """Only what a filter can ask for by terms is indexed."""
    named = replace(PLAIN, name="Ann", nickname="a", description="d", preferences="p", fingerprint="user:2")
    assert terms.of_contact("demo", named) == terms.of_contact("demo", PLAIN)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"a": 1}, paths(("a",)) | scalars(("a",), [1])),
        ({"a": {}}, paths(("a",))),
        ({"a": []}, paths(("a",))),
        ({"a": {"b": "x"}}, paths(("a",), ("a", "b")) | scalars(("a", "b"), ["x"])),
        ({"a": [1, "1", True, None]}, paths(("a",)) | scalars(("a",), [1, "1", True, None])),
        ({"a": [1, [2, [3]], {"b": 4}]}, paths(("a",)) | scalars(("a",), [1])),
        ({"a": [[1]]}, paths(("a",))),
        ({"a": {"b": [1, 2]}, "c": {"b": 1}}, paths(("a",), ("a", "b"), ("c",), ("c", "b"))
            | scalars(("a", "b"), [1, 2]) | scalars(("c", "b"), [1])),
        ({"a": [1, 1.0, 2, 2]}, paths(("a",)) | scalars(("a",), [1, 1.0, 2])),
        ({"a.b": 1}, paths(("a.b",)) | scalars(("a.b",), [1])),
    ],
)  # fmt: skip
def test_metadata_has_a_term_for_each_path_and_scalar(metadata: dict[str, Any], expected: set[int]) -> None:
    """Paths lead through objects and never into lists; of a list only its own scalars count."""
    assert metadata_terms(metadata) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": {"b": 1}}, {"a.b": 1}),
        ({"a": {"b": {"c": 1}}}, {"a": {"b.c": 1}}),
        ({"a": {"b": 1}}, {"a\x001:b": 1}),
        ({"a": {"text": "x"}}, {"a": "text"}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": False}),
        ({"a": "True"}, {"a": True}),
        ({"a": [None]}, {"a": ["null"]}),
        ({"a": [None]}, {"a": [""]}),
        ({"a": "x"}, {"x": "a"}),
        ({"ab": "c"}, {"a": "bc"}),
        ({"1:a": "x"}, {"a": "1:x"}),
    ],
)
def test_different_metadata_shares_no_deepest_term(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Borders of keys, and types of values, cannot be imitated by their text."""
    assert scalar_terms(one).isdisjoint(scalar_terms(other))


def scalar_terms(metadata: dict[str, Any]) -> set[int]:
    """The terms of metadata but those of its paths."""
    return metadata_terms(metadata) - set(map(paths_term, all_paths(metadata)))


def paths_term(path: tuple[str, ...]) -> int:
    return terms.of_path("demo", path)


def all_paths(members: dict[str, Any], here: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    for key, value in members.items():
        yield (*here, key)
        if isinstance(value, dict):
            yield from all_paths(value, (*here, key))


def test_the_path_of_nested_keys_is_not_that_of_a_dotted_key() -> None:
    """`b` in `a` and the key `a.b` are different paths."""
    assert terms.of_path("demo", ("a", "b")) != terms.of_path("demo", ("a.b",))


def test_kinds_share_no_term() -> None:
    """The same text as an address, a number, a path, a value or a flag is five different terms."""
    found = {
        terms.of_email("demo", "x"),
        terms.of_phone("demo", "x"),
        terms.of_path("demo", ("x",)),
        terms.of_scalar("demo", ("x",), "x"),
        terms.of_flag("demo", "x", True),
        terms.of_path("demo", ("trusted", "True")),
        terms.of_flag("demo", "trusted", True),
    }
    assert len(found) == 7


@bounded
@given(strategies.contacts)
def test_accounts_share_no_term(contact: Contact) -> None:
    """The same contact in two accounts has two disjoint sets of terms: an index entry is one account's."""
    assert set(terms.of_contact("a", contact)).isdisjoint(terms.of_contact("b", contact))


@bounded
@given(strategies.contacts)
def test_terms_are_distinct_and_fit_into_64_bits(contact: Contact) -> None:
    """Each term is stored once, as an integer that MongoDB can keep."""
    found = terms.of_contact("demo", contact)
    assert len(found) == len(set(found))
    assert all(-(2**63) <= term < 2**63 for term in found)


parts = st.text(st.sampled_from("ab:1\x00."), max_size=4)
scalar_values = st.sampled_from([None, True, False, 0, 1, 1.5, "", "0", "1", "True", "text"]) | parts
places = st.tuples(parts, st.lists(parts, min_size=1, max_size=3).map(tuple), scalar_values)


@bounded
@given(places, places)
def test_terms_are_equal_exactly_when_place_and_value_are(one: Any, other: Any) -> None:
    """No choice of account, keys and value can meet the term of another."""
    alike = (*one[:2], type(one[2]), one[2]) == (*other[:2], type(other[2]), other[2])
    assert (terms.of_scalar(*one) == terms.of_scalar(*other)) == alike
    assert (terms.of_path(*one[:2]) == terms.of_path(*other[:2])) == (one[:2] == other[:2])


def test_terms_can_be_narrowed_for_tests_of_collisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """With four bits all terms lie in sixteen values, and meet each other often."""
    monkeypatch.setattr(terms, "BITS", 4)
    found = {terms.of_scalar("demo", ("a",), number) for number in range(200)}
    assert found == set(range(-8, 8))
