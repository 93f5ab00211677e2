"""Deletions of one contact at once: who holds the job, who may take it back, and whose receipt stays."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.database import Database

from service.domain.deletion import Receipt, Step
from service.domain.errors import ContactNotFound, DeleteRestricted, EtagMismatch, WriteConflict
from service.storage import rounds
from service.storage.documents import to_document
from service.storage.store import Store
from tests.commands import Before
from tests.linked import contact_of, counts, link_rows, named, replica, swept
from tests.storage.conftest import Stored

Beside: TypeAlias = "Database[dict[str, Any]]"
ROWS = 7
ALL_COUNTED = {"messages": (ROWS, 0), "notes": (ROWS, 0), "tasks": (0, ROWS), "invoices": (0, 0)}


@pytest.fixture
def beside(stored: Stored, mongodb_uri: str) -> Iterator[Beside]:
    """The database of the test as another service sees it, between two commands of a deletion."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        yield client[stored.database.name]


@asynccontextmanager
async def watched(uri: str, stored: Stored, listener: Before) -> AsyncIterator[Store]:
    """A replica before one of whose commands something else happens."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, event_listeners=[listener])
    async with client, replica(client[stored.database.name]) as store:
        yield store


def elsewhere(uri: str, stored: Stored, work: Callable[[Store], Awaitable[object]]) -> None:
    """Another replica does its work to the end, on a loop of its own, while this one stands still."""

    async def done() -> None:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
        async with client, replica(client[stored.database.name]) as store:
            await work(store)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, done()).result()


def leave_alone(_: Beside, __: str) -> None: ...


def forbid(beside: Beside, contact: str) -> None:
    """A row comes that forbids the deletion."""
    beside.invoices.insert_one({"account": "acme", "customer": contact})


def change(beside: Beside, contact: str) -> None:
    """The fingerprint changes, as by an UpdateContact."""
    [before] = beside.contacts.find({"_id": contact})
    values = {"fingerprint": before["fingerprint"] + "x", "rev": before["rev"] + 1}
    beside.contacts.update_one({"_id": contact}, {"$set": values})


async def linked_contact(stored: Stored) -> str:
    contact = await contact_of(stored.store, "acme")
    await link_rows(stored.database, "acme", contact, ROWS)
    return contact


async def jobs_left(stored: Stored) -> int:
    return await stored.database.deletions.count_documents({})


async def make_due(stored: Stored) -> None:
    await stored.database.deletions.update_many({}, [{"$set": {"due_at": "$started_at"}}])


async def swept_receipt(stored: Stored, store: Store, contact: str) -> Receipt | None:
    """The receipt once the next replica has finished what was left."""
    await make_due(stored)
    await swept(store)
    receipt = await store.delete("acme", contact, allow_missing=True)
    assert await named(stored.database, contact) == 0
    return receipt


@pytest.mark.parametrize("then", [leave_alone, forbid])
async def test_a_late_rival_leaves_a_complete_receipt_as_it_is(
    stored: Stored, mongodb_uri: str, beside: Beside, then: Callable[[Beside, str], None]
) -> None:
    """It has read the contact; another deletes it and is told COMPLETE; only then it comes to the job."""
    receipts: list[Receipt | None] = []

    async def delete(store: Store) -> None:
        receipts.append(await store.delete("acme", contact))
        then(beside, contact)

    contact = await linked_contact(stored)
    listener = Before("findAndModify", "deletions", lambda: elsewhere(mongodb_uri, stored, delete))
    async with watched(mongodb_uri, stored, listener) as rival:
        with pytest.raises(ContactNotFound):
            await rival.delete("acme", contact)
        [receipt] = receipts
        assert counts(receipt) == ALL_COUNTED
        assert await rival.delete("acme", contact, allow_missing=True) == receipt
    job = await stored.database.deletions.find_one({})
    assert job
    assert job.keys() == {"_id", "account", "started_at", "finished_at", "counts", "due_at"}


async def test_a_late_rival_with_allow_missing_is_told_the_receipt(stored: Stored, mongodb_uri: str) -> None:
    """COMPLETE, with the counts of the deletion that was faster."""
    contact = await linked_contact(stored)

    async def delete(store: Store) -> None:
        await store.delete("acme", contact)

    listener = Before("findAndModify", "deletions", lambda: elsewhere(mongodb_uri, stored, delete))
    async with watched(mongodb_uri, stored, listener) as rival:
        receipt = await rival.delete("acme", contact, allow_missing=True)
    assert receipt
    assert receipt.finished_at
    assert counts(receipt) == ALL_COUNTED


async def test_a_late_rival_leaves_a_job_that_was_given_back(
    stored: Stored, mongodb_uri: str, beside: Beside
) -> None:
    """Its owner was told to stop with rows left, and a row forbids by now: the next replica finds the job."""

    async def begin(store: Store) -> None:
        await store.delete("acme", contact, patience=0)
        await store._deletions.stop()
        forbid(beside, contact)

    contact = await linked_contact(stored)
    listener = Before("findAndModify", "deletions", lambda: elsewhere(mongodb_uri, stored, begin))
    async with watched(mongodb_uri, stored, listener) as rival:
        with pytest.raises(ContactNotFound):
            await rival.delete("acme", contact)
    assert await named(stored.database, contact)
    async with replica(stored.database) as store:
        assert counts(await swept_receipt(stored, store, contact)) == ALL_COUNTED


async def test_a_refused_rival_leaves_a_job_whose_contact_is_gone(
    stored: Stored, mongodb_uri: str, beside: Beside
) -> None:
    """Two hold the job; one removes the contact and gives the job back while the other, refused, lets go."""

    def give_back() -> None:
        beside.deletions.update_one({}, [{"$set": {"due_at": "$started_at"}}, {"$unset": "owner"}])

    contact = await linked_contact(stored)
    async with replica(stored.database) as store:
        for _ in range(2):
            assert await store._deletions.jobs.open("acme", contact, None) is None
        await stored.database.contacts.delete_one({"_id": contact})
        assert await store._deletions.jobs.lease("acme", contact)
        async with watched(mongodb_uri, stored, Before("delete", "deletions", give_back)) as rival:
            await rival._deletions.jobs.withdraw("acme", contact)
        give_back()
        assert counts(await swept_receipt(stored, store, contact)) == ALL_COUNTED


async def test_a_refused_deletion_leaves_a_job_that_a_sweeper_carried_out(stored: Stored) -> None:
    """The sweeper removed the contact and was told to stop: who held the job until then leaves it."""
    contact = await linked_contact(stored)
    async with replica(stored.database) as store, replica(stored.database) as sweeping:
        await store._deletions.jobs.open("acme", contact, None)
        await make_due(stored)
        await sweeping.sweeper.look()
        await sweeping._deletions.stop()
        with pytest.raises(ContactNotFound):
            await store.get("acme", contact)
        assert await named(stored.database, contact)
        await store._deletions.jobs.withdraw("acme", contact)
        assert counts(await swept_receipt(stored, store, contact)) == ALL_COUNTED


@pytest.mark.parametrize(
    ("then", "with_etag", "error"),
    [(forbid, False, DeleteRestricted), (forbid, True, EtagMismatch), (leave_alone, True, EtagMismatch)],
)
async def test_what_is_refused_in_a_later_round_leaves_no_job(
    stored: Stored,
    mongodb_uri: str,
    beside: Beside,
    then: Callable[[Beside, str], None],
    with_etag: bool,
    error: type[Exception],
) -> None:
    """The removal misses a contact that was changed, the next round is refused: nobody deletes it later."""

    def meanwhile() -> None:
        change(beside, contact)
        then(beside, contact)

    contact = await linked_contact(stored)
    etag = (await stored.store.get("acme", contact)).contact.etag if with_etag else ""
    async with watched(mongodb_uri, stored, Before("delete", "contacts", meanwhile)) as store:
        with pytest.raises(error):
            await store.delete("acme", contact, etag)
    assert await stored.store.get("acme", contact)
    assert await jobs_left(stored) == 0


async def test_a_contact_that_others_change_in_every_round_stays(
    stored: Stored, mongodb_uri: str, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WriteConflict, and no job is left; with one change less it goes."""
    monkeypatch.setattr(rounds, "ROUNDS", 3)
    contact = await linked_contact(stored)
    changes = Before("delete", "contacts", lambda: change(beside, contact), times=3 + 2)
    async with watched(mongodb_uri, stored, changes) as store:
        with pytest.raises(WriteConflict):
            await store.delete("acme", contact)
        assert await stored.store.get("acme", contact)
        assert await jobs_left(stored) == 0
        assert counts(await store.delete("acme", contact)) == ALL_COUNTED


async def test_a_job_that_was_taken_back_is_written_again(stored: Stored, beside: Beside) -> None:
    """A sweeper dropped it in the moment before the contact went: its rows go all the same."""

    def drop(step: Step) -> None:
        if step == Step.OPENED:
            beside.deletions.delete_many({})

    async with replica(stored.database, reached=drop) as store:
        contact = await linked_contact(stored)
        receipt = await store.delete("acme", contact)
        assert receipt
        assert receipt.finished_at
        assert counts(receipt) == ALL_COUNTED
        assert await store.delete("acme", contact, allow_missing=True) == receipt


async def test_a_job_that_all_have_let_go_of_is_not_carried_out(stored: Stored) -> None:
    """The last one died before it took the job back: the contact stays, and the sweeper takes it back."""
    contact = await linked_contact(stored)
    async with replica(stored.database) as store:
        await store._deletions.jobs.open("acme", contact, None)
        await stored.database.deletions.update_one({}, {"$set": {"holders": 0}})
        await make_due(stored)
        await swept(store)
        assert await store.get("acme", contact)
        assert await jobs_left(stored) == 0


async def test_of_rivals_on_a_contact_that_was_brought_back_one_begins_anew(stored: Stored) -> None:
    """The others join what it began; the receipt is of the new deletion alone."""
    async with replica(stored.database) as store:
        contact = await linked_contact(stored)
        before = (await store.get("acme", contact)).contact
        first = await store.delete("acme", contact)
        assert first
        await stored.database.contacts.insert_one(to_document("acme", before))
        await link_rows(stored.database, "acme", contact, 2)
        jobs = store._deletions.jobs
        earlier = [await jobs.open("acme", contact, rev) for rev in (None, before.rev)]
        assert [job.finished_at for job in earlier if job] == [first.finished_at] * 2
        begun = [await jobs.begin_anew(job, None) for job in earlier if job]
        assert begun == [True, False]
        assert await jobs.open("acme", contact, before.rev) is None
        await jobs.withdraw("acme", contact)
        second = await store.delete("acme", contact)
        assert second
        assert second.started_at > first.started_at
        assert counts(second)["notes"] == (2, 0)
