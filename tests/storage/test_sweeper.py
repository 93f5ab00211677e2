"""The sweeper of a replica: late rows, jobs that were left, and collections that refuse."""

import asyncio
from datetime import timedelta
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from service.domain.contact import Draft
from service.domain.deletion import Rules
from service.storage.connection import connect
from service.storage.documents import to_document
from service.storage.gate import Gate
from service.storage.jobs import Open
from service.storage.store import Store
from tests.commands import Commands
from tests.linked import LINKS, contact_of, counts, link_rows, named, replica, swept
from tests.rpc.serving import NOBODY_LISTENS
from tests.storage.conftest import Stored


async def test_late_rows_are_swept_and_counted(stored: Stored) -> None:
    """A row that another service writes after the end goes at the next sweep; the end stays what it was."""
    sweeps = (timedelta(seconds=1), timedelta(days=1))
    async with replica(stored.database, late_sweeps=sweeps) as store:
        contact = await contact_of(store, "acme")
        await link_rows(stored.database, "acme", contact, 1)
        first = await store.delete("acme", contact)
        assert first
        await link_rows(stored.database, "acme", contact, 5)
        async with asyncio.timeout(30):
            while await named(stored.database, contact):
                await swept(store)
        again = await store.delete("acme", contact, allow_missing=True)
        assert again
        assert again.finished_at == first.finished_at
        assert counts(again) == {"messages": (6, 0), "notes": (6, 0), "tasks": (0, 6), "invoices": (0, 0)}


async def test_the_last_sweep_leaves_nothing_due(stored: Stored) -> None:
    """Each sweep names the next one; after the last the job waits for nothing but its expiry."""
    async with replica(stored.database, late_sweeps=(timedelta(0), timedelta(hours=1))) as store:
        contact = await contact_of(store, "acme")
        receipt = await store.delete("acme", contact)
        assert receipt
        assert receipt.finished_at
        job = await stored.database.deletions.find_one({"_id": contact})
        assert job
        # Read without a time zone.
        assert job["due_at"] - job["finished_at"] == timedelta(hours=1)
        past = {
            "due_at": job["due_at"] - timedelta(hours=2),
            "finished_at": job["finished_at"] - timedelta(hours=2),
        }
        await stored.database.deletions.update_one({"_id": contact}, {"$set": past})
        await swept(store)
        job = await stored.database.deletions.find_one({"_id": contact})
        assert job
        assert job.keys() == {"_id", "account", "started_at", "finished_at", "counts"}


async def test_rows_of_a_contact_that_was_brought_back_are_not_swept(stored: Stored) -> None:
    """A restored contact has its id again, and then rows that name it are none of a deletion's business."""
    async with replica(stored.database, late_sweeps=(timedelta(hours=1),)) as store:
        contact = (await store.create("acme", Draft(name="Ann")))[0].contact
        await store.delete("acme", contact.id)
        await stored.database.contacts.insert_one(to_document("acme", contact))
        await link_rows(stored.database, "acme", contact.id, 1)
        await stored.database.deletions.update_one({}, {"$set": {"due_at": contact.created_at}})
        await swept(store)
        assert await named(stored.database, contact.id) == 3
        second = await store.delete("acme", contact.id)
        assert second
        assert counts(second)["notes"] == (1, 0)
        assert await named(stored.database, contact.id) == 0


async def test_a_collection_that_refuses_holds_up_only_its_own_deletion(stored: Stored) -> None:
    """A collection whose validator forbids the change: that job waits, others end, later it ends, too."""
    await stored.database.create_collection("tasks", validator={"assignees": {"$size": 2}})
    async with replica(stored.database) as store:
        stuck, free = await contact_of(store, "acme"), await contact_of(store, "acme")
        await link_rows(stored.database, "acme", stuck, 1)
        receipt = await store.delete("acme", stuck)
        assert receipt
        assert receipt.finished_at is None
        ended = await store.delete("acme", free)
        assert ended
        assert ended.finished_at
        await store.sweeper.look()
        assert store.sweeper.open.count == 1
        assert 0 < store.sweeper.open.oldest_seconds < 60
        await stored.database.command("collMod", "tasks", validator={})
        await stored.database.deletions.update_one({"_id": stuck}, {"$set": {"due_at": ended.started_at}})
        await swept(store)
        receipt = await store.delete("acme", stuck, allow_missing=True)
        assert counts(receipt)["tasks"] == (0, 1)
        await store.sweeper.look()
        assert store.sweeper.open == Open()


async def test_rows_of_many_ended_deletions_are_looked_for_together(stored: Stored, mongodb_uri: str) -> None:
    """A look costs a query a link and one write, however many deletions of an account have ended."""
    commands = Commands()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb_uri, event_listeners=[commands])
    async with replica(stored.database) as store:
        for _ in range(50):
            await store.delete("acme", await contact_of(store, "acme"))
    ended = await stored.database.deletions.find_one({})
    assert ended
    await stored.database.deletions.update_many({}, {"$set": {"due_at": ended["finished_at"]}})
    async with replica(client[stored.database.name]) as store:
        commands.seen.clear()
        await swept(store)
        assert sorted(commands.names) == ["aggregate", "find", "find", "find", "find", "find", "update"]
    assert await stored.database.deletions.count_documents({"due_at": {"$gt": ended["finished_at"]}}) == 50
    await client.close()


async def test_rows_with_ids_of_any_time_are_swept(stored: Stored) -> None:
    """A date past the year 9999 in an `_id`, which Python has none for: the row goes, in time or late."""
    async with replica(stored.database, batch_rows=2) as store:
        contact = await contact_of(store, "acme")
        beyond = [
            {"_id": DatetimeMS(2**50 + each), "account": "acme", "contact": contact} for each in range(6)
        ]
        await stored.database.notes.insert_many(beyond[:5])
        first = await store.delete("acme", contact)
        assert first
        assert first.finished_at
        assert counts(first)["notes"] == (5, 0)
        await stored.database.notes.insert_one(beyond[5])
        await stored.database.deletions.update_one({}, [{"$set": {"due_at": "$started_at"}}])
        await swept(store)
        assert await named(stored.database, contact) == 0
        assert counts(await store.delete("acme", contact, allow_missing=True))["notes"] == (6, 0)


async def test_a_row_that_cannot_be_read_holds_up_only_its_own_account(
    stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    """An `_id` that is no text as BSON wants it: told by the error's type alone, and the sweeper goes on."""
    async with replica(stored.database, look_seconds=0.01) as store:
        contacts = {account: await contact_of(store, account) for account in ("acme", "other")}
        for account, contact in contacts.items():
            await store.delete(account, contact)
        whole = bson.encode({"_id": "AB", "account": "acme", "contact": contacts["acme"]})
        await stored.database.notes.insert_one(RawBSONDocument(whole.replace(b"AB", b"\xff\xfe")))
        await stored.database.notes.insert_one({"account": "other", "contact": contacts["other"]})
        await stored.database.deletions.update_many({}, [{"$set": {"due_at": "$started_at"}}])
        following = asyncio.create_task(store.sweeper.follow())
        async with asyncio.timeout(30):
            while await stored.database.notes.count_documents({}) > 1:
                await asyncio.sleep(0.01)
        assert not following.done()
        following.cancel()
    told = [each for each in caplog.records if "sweeper" in each.getMessage()]
    assert [each.__dict__["error"] for each in told] == ["InvalidBSON"]


async def test_a_backlog_is_worked_off_without_pauses(stored: Stored) -> None:
    """Forty deletions that were left are ended though the sweeper would sleep an hour between looks."""
    async with replica(stored.database, look_seconds=3600) as store:
        for _ in range(40):
            contact = await contact_of(store, "acme")
            await link_rows(stored.database, "acme", contact, 2)
            await store._deletions.jobs.open("acme", contact, None)
            await stored.database.contacts.delete_one({"_id": contact})
        await stored.database.deletions.update_many({}, [{"$set": {"due_at": "$started_at"}}])
        following = asyncio.create_task(store.sweeper.follow())
        async with asyncio.timeout(50):
            while await stored.database.deletions.count_documents({"finished_at": None}):
                await asyncio.sleep(0.05)
        following.cancel()
    assert await stored.database.notes.count_documents({}) == 0


async def test_a_missing_index_is_told_at_the_first_look(
    stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning with the command for each link without one; deletions go on."""
    async with replica(stored.database) as store:
        following = asyncio.create_task(store.sweeper.follow())
        async with asyncio.timeout(20):
            while len(told := [each for each in caplog.records if "whole linked" in each.message]) < 4:
                await asyncio.sleep(0.01)
        following.cancel()
    assert {record.levelname for record in told} == {"WARNING"}
    assert told[0].indexes == "db.getCollection('messages').createIndex({'tenant': 1, 'people.contact': 1})"  # type: ignore[attr-defined]


async def test_a_database_that_is_away_is_not_told_by_the_sweeper(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Readiness tells of it, once in five seconds; the sweeper looks again and again without a word."""
    gate = Gate(seconds=0.2)
    client = connect(NOBODY_LISTENS + "&serverSelectionTimeoutMS=100")
    store = Store(client, "away", gate, rules=Rules(links=LINKS, look_seconds=0.01))
    following = asyncio.create_task(store.sweeper.follow())
    async with asyncio.timeout(20):
        while gate._answers:
            await asyncio.sleep(0.01)
    following.cancel()
    await store.close()
    assert [record for record in caplog.records if record.name.startswith("service.")] == []
