"""Deletion by rules in the database: what goes, what stays, what is counted, and what is swept later."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.database import Database

from service.domain.deletion import CollectionCount, Rules, Step
from service.domain.errors import ContactNotFound, DeleteRestricted, StoreUnavailable
from service.domain.links import Action, Link
from service.storage.gate import Gate
from service.storage.store import Store
from tests.commands import Commands
from tests.linked import (
    INVOICES,
    LINKS,
    MESSAGES,
    NOTES,
    TASKS,
    contact_of,
    counts,
    hashed,
    link_rows,
    named,
    replica,
    swept,
)
from tests.storage.conftest import Stored

Beside: TypeAlias = "Database[dict[str, Any]]"


@pytest.fixture
def beside(stored: Stored, mongodb_uri: str) -> Iterator[Beside]:
    """The database of the test as another service sees it, between two steps of a deletion."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        yield client[stored.database.name]


async def test_rows_go_with_their_contact(stored: Stored) -> None:
    """CASCADE removes, UNLINK clears the field and keeps the row, and the receipt counts each collection."""
    async with replica(stored.database) as store:
        contact, kept = await contact_of(store, "acme"), await contact_of(store, "acme")
        await link_rows(stored.database, "acme", contact, 10)
        await link_rows(stored.database, "acme", kept, 2)
        await link_rows(stored.database, "other", contact, 2)
        before = await hashed(stored.database, but="acme")
        receipt = await store.delete("acme", contact)
        assert receipt
        assert receipt.finished_at
        assert receipt.collections == (
            CollectionCount("messages", deleted=10),
            CollectionCount("notes", deleted=10),
            CollectionCount("tasks", unlinked=10),
            CollectionCount("invoices"),
        )
        # Whoever writes another account's name beside the id keeps their rows.
        assert await named(stored.database, contact) == 3 * 2
        assert await named(stored.database, kept) == 3 * 2
        assert await stored.database.tasks.count_documents({"assignees": ["somebody"]}) == 10
        assert await hashed(stored.database, but="acme") == before


async def test_a_row_may_have_the_contact_as_its_key(stored: Stored) -> None:
    """`_id`, whole or in part, can be the field that names the contact."""
    profiles = Link("profiles", "account", "_id", Action.CASCADE)
    members = Link("members", "_id.account", "_id.contact", Action.CASCADE)
    async with replica(stored.database, links=(profiles, members)) as store:
        contact, kept = await contact_of(store, "acme"), await contact_of(store, "acme")
        for each in (contact, kept):
            await stored.database.profiles.insert_one({"_id": each, "account": "acme"})
            await stored.database.members.insert_many(
                [{"_id": {"account": "acme", "contact": each, "group": number}} for number in range(5)]
            )
        assert counts(await store.delete("acme", contact)) == {"profiles": (1, 0), "members": (5, 0)}
    assert [row["_id"] async for row in stored.database.profiles.find()] == [kept]
    assert {row["_id"]["contact"] async for row in stored.database.members.find()} == {kept}


async def test_links_are_worked_off_in_the_order_of_the_file(stored: Stored, beside: Beside) -> None:
    """Children before parents: no parent goes while a child is there."""
    seen: list[tuple[int, int]] = []

    def look(step: Step) -> None:
        if step == Step.CLEARED:
            seen.append((beside.notes.count_documents({}), beside.parents.count_documents({})))

    parents = Link("parents", "account", "contact", Action.CASCADE)
    async with replica(stored.database, links=(NOTES, parents), reached=look) as store:
        contact = await contact_of(store, "acme")
        for name in ("notes", "parents"):
            await stored.database[name].insert_many(
                [{"account": "acme", "contact": contact} for _ in range(7)]
            )
        await store.delete("acme", contact)
    assert seen == [(4, 7), (1, 7), (0, 7), (0, 4), (0, 1), (0, 0)]


async def test_a_child_that_comes_while_parents_go_is_found(stored: Stored, beside: Beside) -> None:
    """A deletion is complete when a look at all collections found nothing."""

    def insert(step: Step) -> None:
        if step == Step.CLEARED and beside.parents.count_documents({}) == 0 and not late:
            late.append(beside.notes.insert_one({"account": "acme", "contact": contact}))

    late: list[Any] = []
    parents = Link("parents", "account", "contact", Action.CASCADE)
    async with replica(stored.database, links=(NOTES, parents), reached=insert) as store:
        contact = await contact_of(store, "acme")
        await stored.database.parents.insert_one({"account": "acme", "contact": contact})
        receipt = await store.delete("acme", contact)
    assert receipt
    assert receipt.finished_at
    assert counts(receipt) == {"notes": (1, 0), "parents": (1, 0)}
    assert await stored.database.notes.count_documents({}) == 0


async def test_the_job_is_written_before_the_contact_goes(stored: Stored, beside: Beside) -> None:
    """At each step there is a job; the contact goes between the first and the second."""
    seen: list[tuple[Step, int, int]] = []

    def look(step: Step) -> None:
        seen.append((step, beside.deletions.count_documents({}), beside.contacts.count_documents({})))

    async with replica(stored.database, reached=look) as store:
        await store.delete("acme", await contact_of(store, "acme"))
    assert seen == [
        (Step.OPENED, 1, 1),
        (Step.REMOVED, 1, 0),
        (Step.LEASED, 1, 0),
        (Step.CLEAN, 1, 0),
        (Step.FINISHED, 1, 0),
    ]


async def test_a_restricted_contact_stays_as_it_is(stored: Stored) -> None:
    """DeleteRestricted names collection and count; contact and rows are as before, and no job was begun."""
    steps: list[Step] = []
    async with replica(stored.database, reached=steps.append) as store:
        contact = await contact_of(store, "acme")
        await link_rows(stored.database, "acme", contact, 2)
        await stored.database.invoices.insert_many(
            [
                {"account": "acme", "customer": contact},
                {"account": "acme", "customer": [contact, "x"]},
                {"account": "acme", "customer": "x"},
            ]
        )
        with pytest.raises(DeleteRestricted) as caught:
            await store.delete("acme", contact)
        assert caught.value.metadata == {"collection": "invoices", "count": "2"}
        assert steps == []
        assert await store.get("acme", contact)
        assert await named(stored.database, contact) == 3 * 2
        assert await stored.database.deletions.count_documents({}) == 0
        await stored.database.invoices.update_many({}, {"$set": {"account": "other"}})
        assert await store.delete("acme", contact)


async def test_a_row_that_forbids_is_seen_after_the_job_is_written(stored: Stored, beside: Beside) -> None:
    """It came between the first look and the job: refused all the same, and the job is taken back."""

    def insert(step: Step) -> None:
        if step == Step.OPENED:
            beside.invoices.insert_one({"account": "acme", "customer": contact})

    async with replica(stored.database, reached=insert) as store:
        contact = await contact_of(store, "acme")
        with pytest.raises(DeleteRestricted):
            await store.delete("acme", contact)
        assert await store.get("acme", contact)
        assert await stored.database.deletions.count_documents({}) == 0


async def test_an_answer_does_not_wait_longer_than_asked(stored: Stored) -> None:
    """RUNNING with what is counted so far; a repetition tells how it goes on, in the end the whole."""
    async with replica(stored.database) as store:
        contact = await contact_of(store, "acme")
        await link_rows(stored.database, "acme", contact, 30)
        running = await store.delete("acme", contact, patience=0)
        assert running
        assert running.finished_at is None
        with pytest.raises(ContactNotFound):
            await store.get("acme", contact)
        while store._deletions._working:
            await asyncio.wait(store._deletions._working)
        ended = await store.delete("acme", contact, allow_missing=True)
        assert ended
        assert ended.finished_at
        assert ended.started_at == running.started_at
        assert counts(ended) == {"messages": (30, 0), "notes": (30, 0), "tasks": (0, 30), "invoices": (0, 0)}


@pytest.mark.parametrize("links", [(), (INVOICES,)], ids=["no links", "only such that forbid"])
async def test_without_rows_to_remove_the_receipt_is_complete_at_once(
    stored: Stored, links: tuple[Link, ...]
) -> None:
    """However little time the caller has."""
    async with replica(stored.database, links=links) as store:
        receipt = await store.delete("acme", await contact_of(store, "acme"), patience=0)
        assert receipt
        assert receipt.finished_at


async def test_every_command_on_linked_collections_names_the_account(
    stored: Stored, mongodb_uri: str
) -> None:
    """What a sharded cluster routes by, and what keeps the rows of others out of reach."""
    commands = Commands()
    fields = {link.collection: link.account_field for link in LINKS}
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb_uri, event_listeners=[commands])
    store = Store(client, stored.database.name, Gate(), rules=Rules(links=LINKS))
    await store.prepare()
    contact = await contact_of(store, "acme")
    await link_rows(stored.database, "acme", contact, 2)
    commands.seen.clear()
    await store.delete("acme", contact)
    await client.close()
    seen = [each for each in commands.seen if str(each.get(each["name"])) in fields]
    assert {each["name"] for each in seen} == {"find", "delete", "update", "aggregate"}
    for each in seen:
        account_field = fields[each[each["name"]]]
        for query in queries_of(each):
            assert query.get(account_field) == "acme", each["name"]


def queries_of(command: dict[str, Any]) -> list[dict[str, Any]]:
    if command["name"] == "aggregate":
        return [command["pipeline"][0]["$match"]]
    statements = command.get("updates", []) + command.get("deletes", [])
    return [command["filter"]] if "filter" in command else [statement["q"] for statement in statements]


async def test_a_link_without_an_index_is_told_with_the_command_that_mends_it(stored: Stored) -> None:
    """An index serves when it begins with the contact's field, or with both in any order, for all rows."""
    async with replica(stored.database, links=(MESSAGES, NOTES, TASKS)) as store:
        rows = store._deletions.rows
        assert len(await rows.unindexed()) == 3
        await stored.database.messages.create_index([("people.contact", 1)])
        await stored.database.notes.create_index([("contact", 1), ("account", 1), ("at", 1)])
        await stored.database.tasks.create_index([("account", 1), ("at", 1), ("assignees", 1)])
        await stored.database.tasks.create_index(
            [("assignees", 1)], partialFilterExpression={"open": True}, name="open"
        )
        [command] = await rows.unindexed()
        assert command == "db.getCollection('tasks').createIndex({'account': 1, 'assignees': 1})"
        await stored.database.tasks.create_index([("account", 1), ("assignees", 1)])
        assert await rows.unindexed() == []


async def test_a_stop_gives_the_job_back_after_a_batch(stored: Stored, beside: Beside) -> None:
    """What is left is due at once for another replica, which counts on from where the first one stopped."""
    async with replica(stored.database) as store, replica(stored.database) as other:
        contact = await contact_of(store, "acme")
        await link_rows(stored.database, "acme", contact, 30)
        await store.delete("acme", contact, patience=0)
        await store._deletions.stop()
        left = beside.notes.count_documents({})
        assert 0 < left <= 30
        await swept(other)
        ended = await other.delete("acme", contact, allow_missing=True)
        assert counts(ended) == {"messages": (30, 0), "notes": (30, 0), "tasks": (0, 30), "invoices": (0, 0)}


async def test_a_database_that_goes_away_behind_an_open_job_was_asked(stored: Stored) -> None:
    """The caller's error does not say that surely nothing was done: the deletion is carried out later."""
    async with replica(stored.database, lease=timedelta(0)) as store:
        contact = await contact_of(store, "acme")

        def shut(step: Step) -> None:
            store.gate._is_shut = step == Step.OPENED

        store._deletions.rules = replace(store._deletions.rules, reached=shut)
        with pytest.raises(StoreUnavailable) as failed:
            await store.delete("acme", contact)
        assert failed.value.asked
        await store.prepare()
        await swept(store)
        with pytest.raises(ContactNotFound):
            await store.get("acme", contact)
