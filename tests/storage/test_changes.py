"""Following changes: one stream for all, positions that lead on, and what a database that fails over does."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from service.domain import limits
from service.domain.changes import Change, Kind
from service.domain.contact import Draft
from service.domain.paging import WatchPosition
from service.storage import tail
from service.storage.changes import Watch
from service.storage.store import Store
from tests.storage.conftest import Stored

pytestmark = pytest.mark.timeout(120)

A, B = "acme", "bolt"


async def watching(store: Store, account: str, start: WatchPosition | None = None) -> Watch:
    return store.changes.watch(account, await store.operation_time(), start)


async def now(store: Store) -> WatchPosition:
    return WatchPosition(operation_time=await store.operation_time())


async def created(store: Store, account: str, count: int) -> list[str]:
    return [(await store.create(account, Draft(name=str(each))))[0].id for each in range(count)]


async def told(watch: Watch, count: int) -> list[Change]:
    async with asyncio.timeout(30):
        return [await watch.next() for _ in range(count)]


def ids_of(changes: list[Change]) -> list[str]:
    return [each.contact_id for each in changes]


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def joined(watch: Watch) -> "asyncio.Task[Change]":
    """Its wait for a change, when it has nothing to wait for but the shared stream."""
    waiting = asyncio.create_task(watch.next())
    await until(lambda: watch._own is None and watch._feed.reaches(watch.position.after))
    return waiting


async def streams(stored: Stored) -> int:
    """The change streams that the database has open on the contacts, as it tells."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"idleCursors": True}},
        {"$match": {"ns": f"{stored.database.name}.contacts"}},
    ]
    found = await stored.database.client.admin.aggregate(stages)
    return sum("$changeStream" in str(each) for each in await found.to_list())


async def has_streams(stored: Stored, count: int) -> None:
    async with asyncio.timeout(10):
        while await streams(stored) != count:
            await asyncio.sleep(0.05)


async def test_what_happens_is_told_in_its_order(stored: Stored) -> None:
    """Born, changed, deleted: by kind and id, with the contact as long as there is one."""
    store = stored.store
    with await watching(store, A) as watch:
        [contact_id] = await created(store, A, 1)
        found = await store.get(A, contact_id)
        changes = await told(watch, 1)
        await stored.database.contacts.update_one({"_id": contact_id}, {"$set": {"name": "other"}})
        changes += await told(watch, 1)
        await store.delete(A, contact_id)
        changes += await told(watch, 1)
    assert [each.kind for each in changes] == [Kind.CREATED, Kind.UPDATED, Kind.DELETED]
    assert ids_of(changes) == [contact_id] * 3
    assert changes[0].read
    assert changes[0].read() == found.contact
    assert changes[1].read
    assert changes[1].read().name == "other"
    assert changes[2].read is None
    assert changes[0].moment <= changes[1].moment <= changes[2].moment


async def test_a_replaced_contact_is_told_as_it_was(stored: Stored) -> None:
    """Each state in its turn, also when it is another by the time that it is read."""
    store = stored.store
    start = await now(store)
    [contact_id] = await created(store, A, 1)
    document = await stored.database.contacts.find_one({"_id": contact_id})
    assert document
    for name in ("one", "two"):
        await stored.database.contacts.replace_one({"_id": contact_id}, document | {"name": name})
    with await watching(store, A, start) as watch:
        changes = await told(watch, 3)
    assert [each.kind for each in changes] == [Kind.CREATED, Kind.UPDATED, Kind.UPDATED]
    assert [each.read().name for each in changes if each.read] == ["0", "one", "two"]


async def test_who_is_gone_is_not_shown_any_more(stored: Stored) -> None:
    """The history has what a person was: from an old position, and of what was kept, only the end is told."""
    store = stored.store
    start = await now(store)
    [gone, stays] = await created(store, A, 2)
    await store.delete(A, gone)
    with await watching(store, A, start) as watch:
        changes = await told(watch, 2)
        assert ids_of(changes) == [stays, gone]
        assert changes[1].kind is Kind.DELETED
        waiting = await joined(watch)
        [_, gone, stays] = await created(store, A, 3)
        await waiting
        await store.delete(A, gone)
        await until(lambda: gone in watch._feed._gone)
        assert watch._feed.reaches(watch.position.after)
        changes = await told(watch, 2)
        assert [(each.contact_id, each.kind) for each in changes] == [
            (stays, Kind.CREATED),
            (gone, Kind.DELETED),
        ]


async def test_a_position_may_be_behind_a_change_of_another_account(stored: Stored) -> None:
    """Where all are told of everything that is where one stands; and it is where one goes on by oneself."""
    store = stored.store
    with await watching(store, A) as watch:
        waiting = await joined(watch)
        [foreign] = await created(store, B, 1)
        await until(lambda: any(each.contact_id == foreign for each in watch._feed._kept))
        position = WatchPosition(watch._feed._kept[-1].after)
        waiting.cancel()
    await until(lambda: not store.changes.is_followed)
    people = await created(store, A, 1)
    with await watching(store, A, position) as watch:
        assert ids_of(await told(watch, 1)) == people


async def test_only_the_own_account_is_told(stored: Stored) -> None:
    """Of both ways to read: by the shared stream, and by one of its own."""
    store = stored.store
    start = await now(store)
    gone, *theirs = await created(store, B, 4)
    await store.delete(B, gone)
    mine = await created(store, A, 2)
    with await watching(store, A, start) as watch, await watching(store, B, start) as other:
        assert ids_of(await told(watch, 2)) == mine
        assert ids_of(await told(other, 4)) == [*theirs, gone]
        waiting = [await joined(each) for each in (watch, other)]
        theirs, mine = await created(store, B, 3), await created(store, A, 2)
        assert ids_of([await waiting[0], *await told(watch, 1)]) == mine
        assert ids_of([await waiting[1], *await told(other, 2)]) == theirs


async def test_every_position_leads_on(stored: Stored) -> None:
    """From behind each change all later ones are told again, and none before."""
    store = stored.store
    start = await now(store)
    people = await created(store, A, 12)
    with await watching(store, A, start) as watch:
        changes = await told(watch, 12)
    assert ids_of(changes) == people
    for number, change in enumerate(changes[:-1], 1):
        with await watching(store, A, WatchPosition(change.after)) as watch:
            assert ids_of(await told(watch, 12 - number)) == people[number:]


async def test_nothing_is_lost_on_the_way_to_the_shared_stream(stored: Stored) -> None:
    """Watchers come from old positions while contacts are made: each sees all, in order, once."""
    store = stored.store
    start = await now(store)
    people = await created(store, A, 30)
    with await watching(store, B, start):

        async def reading() -> list[str]:
            with await watching(store, A, start) as watch:
                changes = await told(watch, 230)
                assert watch._own is None, "it reads the shared stream by now"
                return ids_of(changes)

        watchers = []
        for _ in range(10):
            watchers.append(asyncio.create_task(reading()))
            people += await created(store, A, 20)
        await until(lambda: all(each.done() for each in watchers), 30)
    assert [each.result() for each in watchers] == [people] * 10


async def test_a_stream_of_ones_own_is_left_for_the_shared_one(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the first change that comes from there: kept, it would later tell again what came since."""
    monkeypatch.setattr(tail, "BATCH", 1)
    store = stored.store
    start = await now(store)
    people = await created(store, A, 2)
    with await watching(store, A, start) as watch:
        people += await created(store, A, 1)
        await until(lambda: watch._feed.next_of(A, "") is not None and len(watch._feed._kept) >= 2)
        assert ids_of(await told(watch, 3)) == people
        assert watch._own is None


async def test_there_is_one_stream_for_all_and_none_for_nobody(stored: Stored) -> None:
    """As the database tells: none, one while twelve watch, none when they have left."""
    store = stored.store
    assert await streams(stored) == 0
    start = await now(store)
    watches = [await watching(store, account, start) for account in (A, B) for _ in range(6)]
    awaited = [asyncio.create_task(watch.__enter__().next()) for watch in watches]
    await has_streams(stored, 1)
    assert store.changes.is_followed
    await created(store, A, 1)
    await created(store, B, 1)
    await asyncio.gather(*awaited)
    assert await streams(stored) == 1
    for watch in watches:
        watch.__exit__(None, None, None)
    await has_streams(stored, 0)
    assert not store.changes.is_followed


async def test_who_comes_after_the_last_one_left_is_followed(stored: Stored) -> None:
    """Leaving and coming at once, again and again, ends no stream that somebody needs."""
    store = stored.store
    for _ in range(20):
        with await watching(store, A) as watch:
            await asyncio.sleep(0)
            people = await created(store, A, 1)
            assert ids_of(await told(watch, 1)) == people


async def test_a_slow_watcher_costs_no_memory_and_loses_nothing(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept for it is bounded; what it missed there it reads by itself."""
    monkeypatch.setattr(limits, "WATCH_KEPT_CHANGES", 5)
    store = stored.store
    with await watching(store, A) as watch:
        waiting = await joined(watch)
        people = await created(store, A, 1)
        assert ids_of([await waiting]) == people
        people = await created(store, A, 130)
        await until(lambda: not watch._feed.reaches(watch.position.after))
        assert len(watch._feed._kept) <= 5
        assert ids_of(await told(watch, 130)) == people


async def test_what_is_kept_is_bounded_in_bytes(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large contacts push others out sooner."""
    monkeypatch.setattr(limits, "WATCH_KEPT_BYTES", 50_000)
    store = stored.store
    with await watching(store, A) as watch:
        for _ in range(4):
            await store.create(A, Draft(preferences="x" * 20_000))
        changes = await told(watch, 4)
        await until(lambda: watch._feed.position >= changes[-1].after)
        assert sum(each.size for each in watch._feed._kept) <= 50_000


async def test_a_watcher_that_leaves_in_the_middle_of_a_step_harms_nobody(stored: Stored) -> None:
    """Cancelled at any moment, fifty times: the streams end, and the store answers as before."""
    store = stored.store
    start = await now(store)
    await created(store, A, 20)
    for number in range(50):
        with await watching(store, A, start) as watch:
            awaited = asyncio.create_task(told(watch, 21))
            await asyncio.sleep(0.001 * (number % 10))
            awaited.cancel()
    await has_streams(stored, 0)
    await store.gate.drained()
    assert await created(store, A, 1)


async def test_a_step_that_is_too_late_opens_nothing(stored: Stored) -> None:
    """Who left while its stream waited for its turn leaves none behind."""
    store = stored.store
    start = await now(store)
    turns = store.changes._catching_up
    for _ in range(8):
        await turns.acquire()
    with await watching(store, A, start) as watch:
        awaited = asyncio.create_task(watch.next())
        await until(lambda: bool(turns._waiters))
        awaited.cancel()
    for _ in range(8):
        turns.release()
    await store.gate.drained()
    await has_streams(stored, 0)
