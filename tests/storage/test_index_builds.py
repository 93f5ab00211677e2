"""An index that is being built: it serves nobody before it is finished, and may still fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.domain.contact import Draft
from service.domain.errors import StoreUnavailable
from service.storage import connection, indexes
from service.storage.gate import Gate
from service.storage.indexes import CannotMigrate
from service.storage.migration import migrate
from service.storage.store import Store
from tests.fail_points import ObedientMongod, fail_point
from tests.storage.conftest import Stored

BOTH = {indexes.IDENTITY, indexes.TERMS}


@asynccontextmanager
async def held(obeying: Stored) -> AsyncIterator["asyncio.Task[set[str]]"]:
    """A migration by another process, whose build does not end before the block does."""
    async with fail_point(obeying.database.client, "hangAfterStartingIndexBuild"):
        migrating = asyncio.create_task(another(obeying).migrate())
        async with asyncio.timeout(20):
            while not (await obeying.database.contacts.index_information()).keys() >= BOTH:
                await asyncio.sleep(0.01)
        yield migrating


def another(obeying: Stored) -> Store:
    return Store(obeying.database.client, obeying.database.name, Gate())


async def migrations(obeying: Stored, at_least_seconds: int = 0) -> int:
    """How many of them wait for the database, and have for so long."""
    making = {
        "command.createIndexes": "contacts",
        "microsecs_running": {"$gte": 1_000_000 * at_least_seconds},
    }
    running = await obeying.database.client.admin.aggregate([{"$currentOp": {}}, {"$match": making}])
    return len(await running.to_list())


async def filled_without_indexes(obeying: Stored) -> None:
    await obeying.store.create("acme", Draft(fingerprint="known", name="Ann"))
    await obeying.database.contacts.drop_indexes()


async def test_an_index_that_is_being_built_does_not_open_writes(obeying: Stored) -> None:
    """The database lists it from its first second on; before it is finished it keeps nobody apart."""
    await filled_without_indexes(obeying)
    async with held(obeying) as migrating:
        assert await obeying.store.prepare() == BOTH
        for write in (obeying.store.create, obeying.store.ensure):
            with pytest.raises(StoreUnavailable, match="contactservice migrate"):
                await write("acme", Draft(fingerprint="known"))
    assert await migrating == BOTH
    assert await obeying.store.prepare() == set()
    _, created = await obeying.store.create("acme", Draft(fingerprint="known"))
    assert not created


async def test_a_build_may_take_longer_than_any_operation(
    obeying: Stored, obedient: ObedientMongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only in the beginning their time counts, for a database that is away; a build takes what it takes."""
    monkeypatch.setattr(connection, "_MARGIN_SECONDS", 0.0)
    await filled_without_indexes(obeying)
    async with fail_point(obeying.database.client, "hangAfterStartingIndexBuild"):
        making = asyncio.create_task(migrate(obedient.uri, obeying.database.name, seconds=0.5))
        async with asyncio.timeout(20):
            while not making.done() and await migrations(obeying, at_least_seconds=1) < 1:
                await asyncio.sleep(0.01)
    assert await making == BOTH


async def test_a_second_migrate_waits_for_the_first(obeying: Stored) -> None:
    """It does not say that there is nothing to do while the first one may still fail."""
    await filled_without_indexes(obeying)
    async with held(obeying):
        second = asyncio.create_task(another(obeying).migrate())
        async with asyncio.timeout(20):
            while await migrations(obeying) < 2:
                await asyncio.sleep(0.01)
    assert await second == BOTH
    assert await another(obeying).migrate() == set()


async def test_a_build_that_fails_leaves_the_service_closed_for_writes(obeying: Stored) -> None:
    """Duplicates are found when it ends: whoever took it for finished would have made more of them."""
    await filled_without_indexes(obeying)
    document = await obeying.database.contacts.find_one({})
    assert document
    await obeying.database.contacts.insert_one({**document, "_id": "ct_" + "0" * 38})
    async with held(obeying) as migrating:
        assert indexes.IDENTITY in await obeying.store.prepare()
    with pytest.raises(CannotMigrate, match="share account, fingerprint and class"):
        await migrating
    assert indexes.IDENTITY in await obeying.store.prepare()


async def test_a_search_by_an_unfinished_index_is_no_bug(obeying: Stored) -> None:
    """Who looked before it was dropped and built again is told which index is missing."""
    await filled_without_indexes(obeying)
    async with held(obeying):
        with pytest.raises(StoreUnavailable, match=f"{indexes.IDENTITY} is missing"):
            await obeying.store.ensure("acme", Draft(fingerprint="known"))
