"""Following changes through a history that ends, is long, or goes on on another member."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from service.domain.changes import Change
from service.domain.contact import Draft
from service.domain.errors import ResumeTokenExpired, StoreTimeout, StoreUnavailable
from service.domain.paging import WatchPosition
from service.storage.changes import Watch
from service.storage.connection import connect
from service.storage.gate import Gate
from service.storage.store import Store
from tests import replica_set
from tests.fail_points import ObedientMongod, fail_point
from tests.replica_set import ReplicaSet
from tests.storage.conftest import Stored
from tests.storage.test_changes import A, created, ids_of, now, told, until, watching

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path) as three:
        yield three


@pytest.fixture
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplicaSet]:
    """A set of one whose history is a megabyte long."""
    options = ["1" if option == "128" else option for option in replica_set.OPTIONS]
    monkeypatch.setattr(replica_set, "OPTIONS", options)
    monkeypatch.setattr(replica_set, "MEMBERS", range(1))
    with ReplicaSet(tmp_path) as one:
        yield one


async def test_a_collection_that_was_dropped_has_no_history(stored: Stored) -> None:
    """There is no going on from before: RESUME_TOKEN_EXPIRED, not silence."""
    store = stored.store
    start = await now(store)
    await created(store, A, 1)
    await stored.database.drop_collection("contacts")
    with await watching(store, A, start) as watch, pytest.raises(ResumeTokenExpired):
        await told(watch, 2)


async def oldest(client: AsyncMongoClient[dict[str, Any]]) -> int:
    """The time of the first entry that the history still has."""
    entry = await client.local["oplog.rs"].find_one()
    assert entry
    return int(entry["ts"].time << 32 | entry["ts"].inc)


async def test_a_history_that_has_rolled_on_is_told(forgetful: ReplicaSet) -> None:
    """A position whose changes the database no longer has is RESUME_TOKEN_EXPIRED: nothing is left out."""
    client = connect(forgetful.uri)
    store = Store(client, "forgetful", Gate())
    await store.prepare()
    start = await now(store)
    await created(store, A, 1)
    with await watching(store, A, start) as watch:
        [change] = await told(watch, 1)
    written = await store.operation_time()
    async with asyncio.timeout(90):
        while await oldest(client) <= written:
            await client["noise"].notes.insert_many([{"text": secrets.token_hex(50_000)} for _ in range(20)])
    for position in (start, WatchPosition(change.after)):
        with await watching(store, A, position) as watch, pytest.raises(ResumeTokenExpired):
            await told(watch, 1)
    with await watching(store, A) as watch:
        people = await created(store, A, 1)
        assert ids_of(await told(watch, 1)) == people
    await store.close()


async def test_a_long_way_through_the_history_is_gone_to_its_end(
    obedient: ObedientMongod, obeying: Stored
) -> None:
    """A database that reads for longer than the driver bears silence is waited for."""
    slow = {"failCommands": ["getMore"], "blockConnection": True, "blockTimeMS": 2500}
    hurried, unhurried = (connect(obedient.uri, 0.5, unhurried=each) for each in (False, True))
    store = Store(hurried, obeying.database.name, Gate(), unhurried=lambda: unhurried)
    await store.prepare()
    start = await now(store)
    # More than one: the shared stream, which is in a hurry, begins behind the first.
    people = await created(store, A, 3)
    async with fail_point(obeying.database.client, "failCommand", **slow):
        with await watching(store, A, start) as watch:
            assert ids_of(await told(watch, 2)) == people[:2]
    await store.close()


async def test_a_failover_loses_no_change(three: ReplicaSet) -> None:
    """The primary is killed among writes: who watches sees each that was acknowledged, in order."""
    client = connect(three.uri)
    store = Store(client, "failover", Gate())
    await store.prepare()
    acknowledged: list[str] = []
    enough, written = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        while not enough.is_set():
            try:
                stored, _ = await store.create(A, Draft(name="Ann"))
            except (StoreUnavailable, StoreTimeout):
                continue
            acknowledged.append(stored.id)
        written.set()

    seen: list[Change] = []

    async def follow(watch: Watch) -> None:
        while not written.is_set() or not {*acknowledged} <= {each.contact_id for each in seen}:
            seen.append(await watch.next())

    with await watching(store, A) as watch:
        tasks = [asyncio.create_task(each) for each in (write(), follow(watch))]
        await until(lambda: len(seen) >= 50, 60)
        await asyncio.to_thread(three.kill, three.primary())
        count = len(acknowledged)
        await until(lambda: len(acknowledged) >= count + 50, 60)
        enough.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks)
    found = [each.contact_id for each in seen if each.contact_id in set(acknowledged)]
    assert list(dict.fromkeys(found)) == acknowledged
    await store.close()


async def test_a_database_that_stays_away_is_told(three: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some patience: a watcher is not left in silence."""
    monkeypatch.setattr("service.storage.tail._PATIENCE_SECONDS", 0.5)
    store = Store(connect(three.uri), "away", Gate())
    await store.prepare()
    with await watching(store, A) as watch:
        people = await created(store, A, 1)
        assert ids_of(await told(watch, 1)) == people
        await asyncio.to_thread(three.stop)
        with pytest.raises(StoreUnavailable):
            await told(watch, 1)
    await store.close()
