"""A replica set of three that loses its primary: acknowledged writes stay, the service goes on by itself."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.contact import Draft
from service.domain.errors import StoreTimeout, StoreUnavailable
from service.storage.connection import connect
from service.storage.gate import Gate
from service.storage.store import Store
from tests.replica_set import ReplicaSet

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path) as replica_set:
        yield replica_set


async def test_a_failover_loses_no_acknowledged_write(three: ReplicaSet) -> None:
    """The primary is killed in the middle of writes; the store goes on, no acknowledged id is lost."""
    client = connect(three.uri)
    store = Store(client, "failover", Gate())
    await store.prepare()
    acknowledged: list[str] = []
    enough = asyncio.Event()

    async def write(writer: int) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            try:
                contact, _ = await store.create("acme", Draft(fingerprint=f"{writer}-{number}"))
            except (StoreUnavailable, StoreTimeout):
                continue
            acknowledged.append(contact.id)

    writers = [asyncio.create_task(write(writer)) for writer in range(8)]
    await grown(acknowledged, by=50)
    await asyncio.to_thread(three.kill, three.primary())
    await grown(acknowledged, by=50)
    enough.set()
    await asyncio.gather(*writers)
    for contact_id in acknowledged:
        assert (await store.get("acme", contact_id)).id == contact_id
    people = await client["failover"].contacts.distinct("fingerprint")
    assert len(people) == await client["failover"].contacts.count_documents({})
    await store.close()


async def test_an_export_is_dated_by_what_a_majority_holds(three: ReplicaSet) -> None:
    """A write that only the primary has is not in what an export reads, and so lies behind its time."""
    client = connect(three.uri)
    store = Store(client, "times", Gate())
    await store.prepare()
    with three.secondaries_locked():
        insert = {"insert": "notes", "documents": [{"_id": 1}], "writeConcern": {"w": 1}}
        applied = (await client["times"].command(insert))["operationTime"]
        assert 0 < await store.operation_time() < applied.time << 32 | applied.inc
    await store.close()


async def grown(acknowledged: list[str], by: int) -> None:
    wanted = len(acknowledged) + by
    async with asyncio.timeout(60):
        while len(acknowledged) < wanted:
            await asyncio.sleep(0.02)
