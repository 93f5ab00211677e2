"""Every filter that the interface can express: one index answers it, in order, and the answer is right."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contactservice.v1.contact_pb2 import CONTACT_ORDER_NEWEST_FIRST, CONTACT_ORDER_OLDEST_FIRST
from service.domain import filters, terms
from service.domain.contact import Draft
from service.domain.filters import ContactFilter, Selection
from service.domain.update import Change
from service.rpc import messages
from service.storage.documents import to_document
from service.storage.indexes import BY_ID, IDENTITY, KEYS, TERMS
from service.storage.queries import query
from tests.client import request
from tests.crowd import BIRTH, EMAILS, PEOPLE, crowd
from tests.crowd import filters as filters_as_sent
from tests.people import fill
from tests.storage.conftest import Stored

ACCOUNTS = ("acme", "other")


@dataclass(frozen=True)
class Filled:
    """A store with the populations of two accounts."""

    stored: Stored

    async def found(self, selection: Selection, after: str = "") -> list[str]:
        scan = self.stored.store.scan(selection, after)
        return [contact.id async for contacts in scan for contact in contacts]

    async def plan(self, selection: Selection, after: str = "") -> dict[str, Any]:
        asked = query(selection, after)
        find = {
            "find": "contacts",
            "filter": asked.conditions,
            "hint": dict(KEYS[asked.index]),
            "sort": dict(asked.sort),
        }
        explained = await self.stored.database.command(
            {"explain": find | {"limit": 1000}, "verbosity": "executionStats"}
        )
        return dict(explained)


@pytest_asyncio.fixture
async def filled(stored: Stored) -> AsyncIterator[Filled]:
    documents = [to_document(account, contact) for account in ACCOUNTS for contact in crowd(account)]
    await stored.database.contacts.insert_many(documents)
    yield Filled(stored)


def selected(sent: dict[str, Any], *, newest_first: bool) -> Selection:
    order = CONTACT_ORDER_NEWEST_FIRST if newest_first else CONTACT_ORDER_OLDEST_FIRST
    return messages.selection("acme", request("ListContacts", filter=sent), order)


def expected(selection: Selection) -> list[str]:
    people = crowd(selection.account)
    found = [contact.id for contact in people if selection.filter.matches(contact)]
    return found[::-1] if selection.newest_first else found


def stages(plan: dict[str, Any]) -> list[dict[str, Any]]:
    below = [plan[name] for name in ("inputStage",) if name in plan] + plan.get("inputStages", [])
    return [plan, *(stage for each in below for stage in stages(each))]


lawful = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@lawful
@given(sent=filters_as_sent("acme"), newest_first=st.booleans())
async def test_a_scan_finds_exactly_what_the_filter_means(
    filled: Filled, sent: dict[str, Any], newest_first: bool
) -> None:
    """For random filters, the database's answer is the model's, in order, in both orders."""
    selection = selected(sent, newest_first=newest_first)
    assert await filled.found(selection) == expected(selection)


@lawful
@given(
    sent=filters_as_sent("acme"),
    newest_first=st.booleans(),
    after=st.sampled_from(["", *range(0, PEOPLE, 50)]),
)
async def test_no_filter_scans_the_collection_or_sorts_in_memory(
    filled: Filled, sent: dict[str, Any], newest_first: bool, after: str | int
) -> None:
    """No COLLSCAN for any filter; SORT only for a list of fingerprints; never a key of another account."""
    start = crowd("acme")[after].id if isinstance(after, int) else ""
    selection = selected(sent, newest_first=newest_first)
    wanted = selection.filter
    explained = await filled.plan(selection, start)
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
    people = crowd("acme")
    await stored.database.contacts.insert_many([to_document("acme", contact) for contact in people])
    for raw in ({"plan": "pro"}, {"$ne": ["$ne"]}, {"deep": {"plan": 1}}, {"a.b": True}):
        selection = Selection(
            "acme", ContactFilter(metadata=filters.metadata_conditions(raw)), newest_first=True
        )
        assert await Filled(stored).found(selection) == expected(selection)


async def test_a_limit_counts_matches_not_hits(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong hits of colliding terms never take the place of a contact on a page."""
    monkeypatch.setattr(terms, "BITS", 1)
    await stored.database.contacts.insert_many([to_document("acme", each) for each in crowd("acme")])
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
    assert query(Selection("acme", wanted, newest_first=True)).index == index


@pytest.mark.parametrize("newest_first", [True, False])
async def test_the_last_page_costs_what_the_first_does(newest_first: bool, stored: Stored) -> None:
    """Paging reads by key: as many keys and contacts are looked at for any page of a large account."""
    people = await fill(stored.store, "acme", count=20_000)
    selection, filled = Selection("acme", ContactFilter(), newest_first), Filled(stored)
    stats = [
        (await filled.plan(selection, after))["executionStats"]
        for after in ("", people[10_000].id, people[1000 if newest_first else -1001].id)
    ]
    assert {(each["totalKeysExamined"], each["totalDocsExamined"]) for each in stats} == {(1000, 1000)}
