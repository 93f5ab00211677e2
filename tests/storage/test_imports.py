"""Imports under the ids of deleted contacts: a deletion that is not over is waited for, one that is ends."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from service.domain import importing
from service.domain.contact import Contact, Draft
from service.domain.deletion import Step
from service.domain.errors import WriteConflict
from service.domain.importing import Plan, Result, Row, Said
from service.storage import rounds
from service.storage.jobs import LeaseLost
from service.storage.store import Store
from tests.linked import NOTES, counts, link_rows, named, replica, swept
from tests.storage.conftest import Stored

HOUR = timedelta(hours=1)
PLAN = Plan()


def row_of(contact: Contact) -> Row:
    draft = Draft(fingerprint=contact.fingerprint, name=contact.name)
    said = Said(draft, contact.id, contact.trusted, contact.created_at, contact.updated_at)
    return importing.checked("acme", said)


async def born(store: Store) -> Contact:
    return (await store.create("acme", Draft(fingerprint="oauth|1", name="Ann")))[0].contact


async def test_a_contact_that_is_brought_back_is_swept_no_more(stored: Stored) -> None:
    """Its late sweeps end with its return, and rows that name it then are its own."""
    async with replica(stored.database, late_sweeps=(HOUR,)) as store:
        contact = await born(store)
        await store.delete("acme", contact.id)
        assert await stored.database.deletions.count_documents({"due_at": {"$exists": True}}) == 1
        assert (await store.take_in("acme", row_of(contact), PLAN)).result == Result.CREATED
        assert await stored.database.deletions.count_documents({"due_at": {"$exists": True}}) == 0
        await link_rows(stored.database, "acme", contact.id, 1)
        await swept(store)
        assert await named(stored.database, contact.id) == 3
        again = await store.delete("acme", contact.id)
        assert counts(again)["notes"] == (1, 0)


async def test_a_sweep_that_has_begun_clears_nothing_of_who_is_brought_back(stored: Stored) -> None:
    """It holds the job from before the return: it has lost it, and rows written since stay."""
    async with replica(stored.database, late_sweeps=(timedelta(0), HOUR)) as store:
        contact = await born(store)
        await store.delete("acme", contact.id)
        ended = await stored.database.deletions.find_one({})
        assert ended
        await stored.database.deletions.update_one({}, {"$set": {"due_at": ended["finished_at"]}})
        job = await store._deletions.jobs.take_due("acme", contact.id)
        assert job
        await store.take_in("acme", row_of(contact), PLAN)
        await link_rows(stored.database, "acme", contact.id, 1)
        row_ids = await store._deletions._some(NOTES, job)
        assert row_ids
        with pytest.raises(LeaseLost):
            await store._deletions._cleared(job, NOTES, row_ids)
        assert await named(stored.database, contact.id) == 3


async def test_a_deletion_under_way_is_waited_for(stored: Stored) -> None:
    """Whoever comes back in the middle would be deleted with the rest: the row waits for the end."""
    halted, go_on = asyncio.Event(), asyncio.Event()

    async with replica(stored.database, reached=lambda step: step == Step.LEASED and halted.set()) as store:
        contact = await born(store)
        await link_rows(stored.database, "acme", contact.id, 1)
        count = store._deletions.rows.clear

        async def clear_later(*arguments: Any) -> int:
            await go_on.wait()
            return await count(*arguments)

        store._deletions.rows.clear = clear_later  # type: ignore[method-assign]
        deleting = asyncio.create_task(store.delete("acme", contact.id))
        await halted.wait()
        coming = asyncio.create_task(store.take_in("acme", row_of(contact), PLAN))
        done, _ = await asyncio.wait({coming}, timeout=0.1)
        assert not done
        assert await stored.database.contacts.count_documents({}) == 0
        go_on.set()
        assert (await coming).result == Result.CREATED
        receipt = await deleting
        assert receipt
        assert receipt.finished_at
        assert (await store.get("acme", contact.id)).contact.name == "Ann"


async def test_a_deletion_that_stays_under_way_refuses_the_row(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WRITE_CONFLICT, nothing is written, and what is left of the deletion can end."""
    monkeypatch.setattr(rounds, "ROUNDS", 3)
    async with replica(stored.database) as store:
        contact = await born(store)
        await store._deletions.jobs.open("acme", contact.id, None)
        await stored.database.contacts.delete_one({"_id": contact.id})
        with pytest.raises(WriteConflict):
            await store.take_in("acme", row_of(contact), PLAN)
        assert await stored.database.contacts.count_documents({}) == 0
        await stored.database.deletions.update_one({}, [{"$set": {"due_at": "$started_at"}}])
        await swept(store)
        assert (await store.take_in("acme", row_of(contact), PLAN)).result == Result.CREATED


async def test_a_deletion_of_another_account_is_no_matter(stored: Stored) -> None:
    """Jobs are asked for by account and id."""
    contact = await born(stored.store)
    await stored.database.deletions.insert_one({"_id": contact.id, "account": "other"})
    await stored.database.contacts.delete_one({"_id": contact.id})
    assert (await stored.store.take_in("acme", row_of(contact), PLAN)).result == Result.CREATED


async def test_an_import_is_refused_without_the_index_that_makes_it_safe(stored: Stored) -> None:
    """As every write is, also when it would only check."""
    contact = await born(stored.store)
    stored.store._indexes._missing = {"account_fingerprint_trusted"}
    for plan in (PLAN, Plan(validate_only=True)):
        with pytest.raises(Exception, match="contactservice migrate"):
            await stored.store.take_in("acme", row_of(contact), plan)
