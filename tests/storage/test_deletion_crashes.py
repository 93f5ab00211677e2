"""Deletions that are killed or stopped at every step, by a signal, and what another replica makes of them."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.domain.contact import Draft
from service.domain.deletion import Receipt, Rules, Step
from service.domain.errors import ContactNotFound
from service.storage.gate import Gate
from service.storage.jobs import LeaseLost
from service.storage.store import Store
from tests.linked import LINKS, counts, hashed, link_rows, named
from tests.storage.conftest import Stored
from tests.storage.dying import LEASE

pytestmark = pytest.mark.timeout(120)

ROWS = 7
ACCOUNTS = ("acme", "other")
# A step of the first batch, of one in the middle of a collection, and of the last collection.
DEATHS = [
    *((step, 1) for step in Step),
    *((step, time) for step in (Step.NOTED, Step.CLEARED, Step.COUNTED) for time in (2, 3, 9)),
]
ALL_COUNTED = {"messages": (ROWS, 0), "notes": (ROWS, 0), "tasks": (0, ROWS), "invoices": (0, 0)}


@pytest_asyncio.fixture
async def replica(stored: Stored) -> AsyncIterator[Store]:
    """Another replica, which goes on where one died."""
    rules = Rules(links=LINKS, batch_rows=3, lease=LEASE)
    store = Store(stored.database.client, stored.database.name, Gate(), rules=rules)
    await store.prepare()
    yield store
    await store._deletions.stop()


@pytest_asyncio.fixture
async def contact(stored: Stored) -> str:
    """A contact with rows, beside others of its account and of another, with rows of theirs."""
    ids = [(await stored.store.create(account, Draft()))[0].id for account in ACCOUNTS for _ in range(2)]
    for account, contact_id in zip(sorted(ACCOUNTS * 2), ids, strict=True):
        await link_rows(stored.database, account, contact_id, ROWS)
    return ids[0]


async def dying(
    uri: str, stored: Stored, contact: str, step: Step, time: int = 1, number: str = "SIGKILL"
) -> asyncio.subprocess.Process:
    """The process that deletes the contact until it reaches the step for that time."""
    arguments = (uri, stored.database.name, "acme", contact, step, str(time), number)
    command = (sys.executable, "-m", "tests.storage.dying", *arguments)
    return await asyncio.create_subprocess_exec(*command)


async def converged(stored: Stored, store: Store, contact: str) -> Receipt:
    """The receipt once the sweeper of the replica has nothing left to do about the contact."""
    async with asyncio.timeout(60):
        while await stored.database.deletions.count_documents({"finished_at": None}):
            await store.sweeper.look()
            await asyncio.sleep(0.05)
    receipt = await store.delete("acme", contact, allow_missing=True)
    assert receipt
    assert receipt.finished_at
    return receipt


async def kept_rows(stored: Stored, contact: str) -> dict[str, Any]:
    """What must be as it was, whatever happens to the contact."""
    others = [each["_id"] async for each in stored.database.contacts.find({"_id": {"$ne": contact}})]
    return {
        "others": await hashed(stored.database, but="acme"),
        "contacts": sorted(others),
        "rows": [await named(stored.database, each) for each in sorted(others)],
    }


@pytest.mark.parametrize(("step", "time"), DEATHS, ids=str)
async def test_a_deletion_killed_at_any_step_is_finished_by_another(
    stored: Stored, mongodb_uri: str, replica: Store, contact: str, step: Step, time: int
) -> None:
    """No contact, no row that names it, every row counted once, and nothing of anybody else is touched."""
    before = await kept_rows(stored, contact)
    process = await dying(mongodb_uri, stored, contact, step, time)
    assert await process.wait() == -signal.SIGKILL
    receipt = await converged(stored, replica, contact)
    assert await named(stored.database, contact) == 0
    assert counts(receipt) == ALL_COUNTED
    with pytest.raises(ContactNotFound):
        await replica.get("acme", contact)
    assert await kept_rows(stored, contact) == before


async def test_a_deletion_that_dies_again_and_again_still_ends(
    stored: Stored, mongodb_uri: str, replica: Store, contact: str
) -> None:
    """Each successor is killed, too, at a step of its own; the rows are counted once all the same."""
    for step in (Step.OPENED, Step.NOTED, Step.CLEARED, Step.LEASED, Step.CLEARED, Step.COUNTED, Step.CLEAN):
        process = await dying(mongodb_uri, stored, contact, step)
        assert await process.wait() == -signal.SIGKILL
        await lease_passed(stored)
    receipt = await converged(stored, replica, contact)
    assert counts(receipt) == ALL_COUNTED
    assert await named(stored.database, contact) == 0


async def lease_passed(stored: Stored) -> None:
    await stored.database.deletions.update_many({}, [{"$set": {"due_at": "$started_at"}}])


async def asleep(pid: int) -> None:
    """Returns when the process is stopped by its signal."""
    async with asyncio.timeout(30):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            await asyncio.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who is stopped")
@pytest.mark.parametrize("step", [Step.LEASED, Step.NOTED, Step.CLEARED, Step.CLEAN])
async def test_an_owner_that_slept_does_no_harm_when_it_wakes(
    stored: Stored, mongodb_uri: str, replica: Store, contact: str, step: Step
) -> None:
    """Stopped, overtaken and continued: it finds that the job is another's, and the counts stay right."""
    before = await kept_rows(stored, contact)
    process = await dying(mongodb_uri, stored, contact, step, number="SIGSTOP")
    try:
        await asleep(process.pid)
        receipt = await converged(stored, replica, contact)
    finally:
        process.send_signal(signal.SIGCONT)
    assert await process.wait() == 0
    assert counts(receipt) == ALL_COUNTED
    assert await replica.delete("acme", contact, allow_missing=True) == receipt
    assert await kept_rows(stored, contact) == before


async def test_replicas_that_sweep_at_once_share_the_work(
    stored: Stored, replica: Store, contact: str
) -> None:
    """Four look again and again for the same forty jobs: one works off each, every row is counted once."""
    replicas = [
        replica,
        *(
            Store(
                stored.database.client, stored.database.name, Gate(), rules=Rules(links=LINKS, batch_rows=3)
            )
            for _ in range(3)
        ),
    ]
    contacts = [contact, *[(await stored.store.create("acme", Draft()))[0].id for _ in range(39)]]
    for each in contacts[1:]:
        await link_rows(stored.database, "acme", each, ROWS)
    for each in contacts:
        # As a replica leaves it that dies when it has removed the contact.
        await replica._deletions.jobs.open("acme", each, None)
        await stored.database.contacts.delete_one({"_id": each})
    await lease_passed(stored)
    async with asyncio.timeout(60):
        while await stored.database.deletions.count_documents({"finished_at": None}):
            await asyncio.gather(*(each.sweeper.look() for each in replicas))
    for each in contacts:
        receipt = await replica.delete("acme", each, allow_missing=True)
        assert receipt
        assert counts(receipt) == ALL_COUNTED
    for each in replicas:
        await each._deletions.stop()


async def test_a_refused_deletion_that_died_is_taken_back(
    stored: Stored, replica: Store, contact: str
) -> None:
    """With an etag that is old by now, or a row that forbids: the contact stays and the job goes."""
    restricted, changed = contact, (await stored.store.create("acme", Draft()))[0].id
    await replica._deletions.jobs.open("acme", restricted, None)
    await replica._deletions.jobs.open("acme", changed, 7)
    await stored.database.invoices.insert_one({"account": "acme", "customer": restricted})
    await lease_passed(stored)
    async with asyncio.timeout(30):
        while await stored.database.deletions.count_documents({}):
            await replica.sweeper.look()
            await asyncio.sleep(0.01)
    assert await replica.get("acme", restricted)
    assert await replica.get("acme", changed)
    assert await named(stored.database, contact) == 3 * ROWS


async def test_a_leased_job_is_nobody_elses_until_its_time_has_passed(
    stored: Stored, replica: Store, contact: str
) -> None:
    """Neither a sweeper nor a repeated call takes it; afterwards one does, and the first has lost it."""
    jobs = replica._deletions.jobs
    await jobs.open("acme", contact, None)
    await stored.database.contacts.delete_one({"_id": contact})
    first = await jobs.lease("acme", contact)
    assert first
    for take in (jobs.lease, jobs.take_open, jobs.take_due):
        assert await take("acme", contact) is None
    await lease_passed(stored)
    taken = await asyncio.gather(*(take("acme", contact) for take in (jobs.take_open, jobs.take_due) * 4))
    [second] = [job for job in taken if job]
    assert second.owner != first.owner
    for change in (jobs.finish, jobs.release):
        with pytest.raises(LeaseLost):
            await change(first)
    assert (await jobs.finish(second)).finished_at


async def test_a_job_that_a_call_joins_is_not_taken_back_under_it(
    stored: Stored, replica: Store, contact: str
) -> None:
    """The sweeper drops a job only while nobody has joined it since it looked."""
    jobs = replica._deletions.jobs
    await jobs.open("acme", contact, 7)
    await lease_passed(stored)
    job = await jobs.take_due("acme", contact)
    assert job
    await jobs.open("acme", contact, None)
    await jobs.drop(job)
    left = await stored.database.deletions.find_one({})
    assert left
    assert left["holders"] == 2
    assert "rev" not in left
