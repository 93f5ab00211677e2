"""Every filter that the interface can express: one index answers it, in order, and the answer is right."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain import filters, ids, terms
from service.domain.contact import Contact, Draft
from service.domain.filters import ContactFilter, Selection
from service.domain.update import Change
from service.storage.documents import to_document
from service.storage.indexes import IDENTITY, TERMS
from service.storage.queries import BY_ID, query
from tests.storage.conftest import Stored

ACCOUNTS = ("acme", "other")
BIRTH = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = 300
MOMENTS = [BIRTH + timedelta(minutes=number * 25) for number in range(13)]
EMAILS = ("ann@example.com", "bob@example.com", "Ärmel@example.com")
PHONES = ("+49 30 1", "0049 30 1", "555")
KEYS = ("plan", "a.b", "$ne", "`", "deep", "list")
SCALARS = ("pro", "1", 1, True, 0.5, "$ne", "")

scalars = st.sampled_from(SCALARS)
conditions = st.dictionaries(
    st.sampled_from(KEYS),
    scalars
    | st.lists(scalars, min_size=1, max_size=2)
    | st.dictionaries(st.sampled_from(KEYS), scalars, min_size=1, max_size=2),
    min_size=1,
    max_size=2,
)
paths = st.lists(st.sampled_from(KEYS), min_size=1, max_size=2).map(tuple)
optional_moment = st.none() | st.sampled_from(MOMENTS)


def population(account: str) -> list[Contact]:
    """The same people at every call: all classes, shared emails and phones, hostile metadata."""
    dice = random.Random(account)  # noqa: S311 (a fixed seed)
    return [person(dice, account, number) for number in range(PEOPLE)]


def person(dice: random.Random, account: str, number: int) -> Contact:
    born = BIRTH + timedelta(minutes=number)
    contact_id = ids.lower_bound(account, int(born.timestamp() * 1000))
    values = [*SCALARS, ["pro", 1], ["$ne", None, {"x": 1}], {"plan": dice.choice(SCALARS)}, {}, []]
    return Contact(
        id=contact_id,
        fingerprint=f"person:{number}",
        trusted=dice.random() < 0.5,
        updated_at=born + timedelta(minutes=dice.randrange(60)),
        email=dice.choice(["", *EMAILS, EMAILS[0].upper()]),
        phone=dice.choice(["", *PHONES]),
        metadata={key: dice.choice(values) for key in dice.sample(KEYS, dice.randrange(len(KEYS)))},
        verified_at=born if dice.random() < 0.5 else None,
    )


@st.composite
def contact_filters(draw: st.DrawFn) -> ContactFilter:
    everybody = [contact.id for contact in population("acme")[::30]]
    return ContactFilter(
        metadata=filters.metadata_conditions(draw(st.none() | conditions)),
        metadata_exists=tuple(sorted(draw(st.sets(paths, max_size=2)))),
        emails=filters.any_of("emails", draw(st.lists(st.sampled_from(EMAILS), max_size=2)), str.casefold),
        phones=filters.any_of("phones", draw(st.lists(st.sampled_from(["+49301", "555"]), max_size=2))),
        fingerprints=filters.any_of(
            "fingerprints", draw(st.lists(st.integers(0, 40).map("person:{}".format), max_size=5))
        ),
        ids=draw(st.none() | st.lists(st.sampled_from(everybody), max_size=4).map(tuple)),
        trusted=draw(st.none() | st.booleans()),
        verified=draw(st.none() | st.booleans()),
        created_after=draw(optional_moment),
        created_before=draw(optional_moment),
        updated_after=draw(optional_moment),
        updated_before=draw(optional_moment),
    )


@dataclass(frozen=True)
class Filled:
    """A store with the populations of two accounts."""

    stored: Stored

    async def found(self, selection: Selection, after: str = "") -> list[str]:
        scan = self.stored.store.scan(selection, after)
        return [contact.id async for contacts in scan for contact in contacts]

    async def plan(self, selection: Selection, after: str = "") -> dict[str, Any]:
        asked = query(selection, after)
        find = {"find": "contacts", "filter": asked.conditions, "hint": asked.hint, "sort": dict(asked.sort)}
        explained = await self.stored.database.command(
            {"explain": find | {"limit": 1000}, "verbosity": "executionStats"}
        )
        return dict(explained)


@pytest_asyncio.fixture
async def filled(stored: Stored) -> AsyncIterator[Filled]:
    documents = [to_document(account, contact) for account in ACCOUNTS for contact in population(account)]
    await stored.database.contacts.insert_many(documents)
    yield Filled(stored)


def expected(selection: Selection) -> list[str]:
    people = population(selection.account)
    found = [contact.id for contact in people if selection.filter.matches(contact)]
    return found[::-1] if selection.newest_first else found


def stages(plan: dict[str, Any]) -> list[dict[str, Any]]:
    below = [plan[name] for name in ("inputStage",) if name in plan] + plan.get("inputStages", [])
    return [plan, *(stage for each in below for stage in stages(each))]


lawful = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@lawful
@given(wanted=contact_filters(), newest_first=st.booleans())
async def test_a_scan_finds_exactly_what_the_filter_means(
    filled: Filled, wanted: ContactFilter, newest_first: bool
) -> None:
    """For random filters, the database's answer is the model's, in order, in both orders."""
    selection = Selection("acme", wanted, newest_first)
    assert await filled.found(selection) == expected(selection)


@lawful
@given(
    wanted=contact_filters(), newest_first=st.booleans(), after=st.sampled_from(["", *range(0, PEOPLE, 50)])
)
async def test_no_filter_scans_the_collection_or_sorts_in_memory(
    filled: Filled, wanted: ContactFilter, newest_first: bool, after: str | int
) -> None:
    """No COLLSCAN for any filter; SORT only for a list of fingerprints; never a key of another account."""
    start = population("acme")[after].id if isinstance(after, int) else ""
    explained = await filled.plan(Selection("acme", wanted, newest_first), start)
    names = {stage["stage"] for stage in stages(explained["queryPlanner"]["winningPlan"])}
    assert "COLLSCAN" not in names
    assert names & {"IXSCAN", "EOF", "IDHACK"}
    if wanted.ids is not None or not wanted.fingerprints:
        assert "SORT" not in names
    assert explained["executionStats"]["totalDocsExamined"] <= PEOPLE


@pytest.mark.parametrize("bits", [1, 4])
async def test_colliding_terms_change_nothing_but_speed(
    bits: int, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With terms of a few bits nearly every filter hits wrong contacts; none of them is returned."""
    monkeypatch.setattr(terms, "BITS", bits)
    people = population("acme")
    await stored.database.contacts.insert_many([to_document("acme", contact) for contact in people])
    for raw in ({"plan": "pro"}, {"$ne": ["$ne"]}, {"deep": {"plan": 1}}, {"a.b": True}):
        selection = Selection(
            "acme", ContactFilter(metadata=filters.metadata_conditions(raw)), newest_first=True
        )
        assert await Filled(stored).found(selection) == expected(selection)


async def test_a_limit_counts_matches_not_hits(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong hits of colliding terms never take the place of a contact on a page."""
    monkeypatch.setattr(terms, "BITS", 1)
    await stored.database.contacts.insert_many([to_document("acme", each) for each in population("acme")])
    selection = Selection("acme", ContactFilter(emails=(EMAILS[0],)), newest_first=False)
    scan = stored.store.scan(selection, limit=20)
    found = [contact.id async for contacts in scan for contact in contacts]
    assert found == expected(selection)[:20]


async def test_terms_follow_every_update(stored: Stored) -> None:
    """After an update a contact is found by its new values and by none of the old."""
    contact, _ = await stored.store.create("acme", Draft(email=EMAILS[0], metadata={"plan": "pro"}))
    change = Change(Draft(email=EMAILS[1], metadata={"plan": "free"}), frozenset({"email", "metadata"}))
    await stored.store.update("acme", contact.id, change)
    for wanted, count in (
        (ContactFilter(emails=(EMAILS[0],)), 0),
        (ContactFilter(emails=(EMAILS[1],)), 1),
        (ContactFilter(metadata=filters.metadata_conditions({"plan": "pro"})), 0),
        (ContactFilter(metadata=filters.metadata_conditions({"plan": "free"})), 1),
    ):
        assert len(await Filled(stored).found(Selection("acme", wanted, newest_first=True))) == count


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (ContactFilter(), BY_ID),
        (ContactFilter(updated_after=BIRTH), BY_ID),
        (ContactFilter(ids=(), fingerprints=("a",)), BY_ID),
        (ContactFilter(fingerprints=("a",), emails=EMAILS), IDENTITY),
        (ContactFilter(emails=EMAILS), TERMS),
        (ContactFilter(verified=False), TERMS),
    ],
)
def test_the_index_follows_from_the_filter(wanted: ContactFilter, index: str) -> None:
    """Ids lead, then fingerprints, then terms; without any of them the account's range of ids."""
    assert query(Selection("acme", wanted, newest_first=True)).hint == index
