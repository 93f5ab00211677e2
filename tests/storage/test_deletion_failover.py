"""A deletion whose database loses its primary in the middle of the batches."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from service.storage.connection import connect
from tests.linked import contact_of, counts, link_rows, named, replica
from tests.replica_set import ReplicaSet

pytestmark = pytest.mark.timeout(120)

ROWS = 3000


@pytest.fixture
def three(tmp_path: Path) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path) as replica_set:
        yield replica_set


async def test_a_failover_costs_no_row_and_counts_none_twice(three: ReplicaSet) -> None:
    """The primary is killed while rows go: the sweeper goes on with the new one, no row is counted twice."""
    client = connect(three.uri)
    database = client["failover"]
    async with replica(database, lease=timedelta(seconds=2), batch_rows=50, look_seconds=0.2) as store:
        contact, kept = await contact_of(store, "acme"), await contact_of(store, "acme")
        await link_rows(database, "acme", contact, ROWS)
        await link_rows(database, "acme", kept, 5)
        following = asyncio.create_task(store.sweeper.follow())
        deleting = asyncio.create_task(store.delete("acme", contact, patience=0))
        while await database.messages.count_documents({"people.contact": contact}) == ROWS:
            await asyncio.sleep(0.005)
        await asyncio.to_thread(three.kill, three.primary())
        await asyncio.gather(deleting, return_exceptions=True)
        async with asyncio.timeout(60):
            while await database.deletions.count_documents({"finished_at": None}):
                await asyncio.sleep(0.1)
        following.cancel()
        receipt = await store.delete("acme", contact, allow_missing=True)
        assert counts(receipt) == {
            "messages": (ROWS, 0),
            "notes": (ROWS, 0),
            "tasks": (0, ROWS),
            "invoices": (0, 0),
        }
        assert await named(database, contact) == 0
        assert await named(database, kept) == 3 * 5
    await store.close()
