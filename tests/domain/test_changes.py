"""What a watcher with a filter is told of a change."""

from dataclasses import replace

import pytest

from service.domain.changes import Interest, Kind
from service.domain.contact import Contact
from service.domain.filters import ContactFilter
from tests.people import person

ANN = person("acme", 0, 200)
OTHER = replace(ANN, id=person("acme", 1, 200).id)


@pytest.mark.parametrize("kind", [Kind.CREATED, Kind.UPDATED])
def test_who_matches_is_told(kind: Kind) -> None:
    """Born or changed."""
    assert Interest(ContactFilter()).matches(kind, ANN) is True
    assert Interest(ContactFilter(emails=(ANN.email,), trusted=True)).matches(kind, ANN) is True


def test_who_changes_and_does_not_match_may_have_matched() -> None:
    """Nobody knows what it was before, so the watcher is told that it does not match now."""
    assert Interest(ContactFilter(emails=("x",))).matches(Kind.UPDATED, ANN) is False


def test_who_is_born_without_matching_is_not_told() -> None:
    """It never was in anybody's copy."""
    assert Interest(ContactFilter(emails=("x",))).matches(Kind.CREATED, ANN) is None


@pytest.mark.parametrize(
    ("wanted", "contact"),
    [
        (ContactFilter(ids=(ANN.id,)), OTHER),
        (ContactFilter(ids=()), ANN),
        (ContactFilter(trusted=False), ANN),
        (ContactFilter(created_before=ANN.created_at), ANN),
        (ContactFilter(created_after=OTHER.created_at), ANN),
    ],
    ids=["ids", "no id", "trusted", "before", "after"],
)
def test_who_never_can_match_is_not_told(wanted: ContactFilter, contact: Contact) -> None:
    """Ids, trusted and created times are for ever: a watch for one contact is not told of all others."""
    assert Interest(wanted).matches(Kind.UPDATED, contact) is None
