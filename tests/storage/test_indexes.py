"""Indexes: made on an empty collection, asked for on a filled one, and never silently missing."""

from typing import Any

import pytest

from service.domain.contact import Draft
from service.domain.errors import StoreUnavailable
from service.domain.filters import ContactFilter, Selection
from service.storage import indexes
from service.storage.gate import Gate
from service.storage.indexes import CannotMigrate
from service.storage.store import Store
from tests.storage.conftest import Stored


async def filled_without_indexes(stored: Stored) -> Store:
    """A store that starts on a collection with one contact and no index but _id."""
    await stored.store.create("acme", Draft(fingerprint="known", name="Ann"))
    await stored.database.contacts.drop_indexes()
    return Store(stored.database.client, stored.database.name, Gate())


async def test_an_empty_collection_gets_its_indexes(stored: Stored) -> None:
    """The unique index is (account, fingerprint, trusted), and it is unique."""
    found = await stored.database.contacts.index_information()
    unique = [index for index in found.values() if index.get("unique")]
    assert [index["key"] for index in unique] == [[("account", 1), ("fingerprint", 1), ("trusted", 1)]]
    assert await indexes.missing(stored.database) == set()


async def test_a_filled_collection_without_the_unique_index_is_read_only(stored: Stored) -> None:
    """Reads are served; every write is refused and names the command; nothing is made unasked."""
    store = await filled_without_indexes(stored)
    assert await store.prepare() == {indexes.IDENTITY, indexes.TERMS}
    selection = Selection("acme", ContactFilter(), newest_first=False)
    [[contact]] = [part async for part in store.scan(selection)]
    assert (await store.get("acme", contact.id)).contact.name == "Ann"
    for write in (
        lambda: store.create("acme", Draft()),
        lambda: store.ensure("acme", Draft(name="Bob")),
        lambda: store.delete("acme", contact.id),
    ):
        with pytest.raises(StoreUnavailable, match="contactservice migrate"):
            await write()
    assert await stored.database.contacts.count_documents({}) == 1


async def test_a_filter_whose_index_is_missing_names_the_command(stored: Stored) -> None:
    """No filter falls back to reading everything: it is refused until the index is there."""
    store = await filled_without_indexes(stored)
    await store.prepare()
    selection = Selection("acme", ContactFilter(emails=("ann@example.com",)), newest_first=False)
    with pytest.raises(StoreUnavailable, match="contactservice migrate"):
        await anext(store.scan(selection))


async def test_migrate_makes_what_is_missing_and_opens_for_writes(stored: Stored) -> None:
    """After migrate the same store writes; a second migrate has nothing to do."""
    store = await filled_without_indexes(stored)
    await store.prepare()
    assert await store.migrate() == {indexes.IDENTITY, indexes.TERMS}
    _, created = await store.create("acme", Draft(fingerprint="known"))
    assert not created
    assert await store.migrate() == set()


async def test_another_process_migrating_is_noticed(stored: Stored) -> None:
    """A read-only store writes as soon as its next look finds the index."""
    store = await filled_without_indexes(stored)
    await store.prepare()
    await stored.store.migrate()
    assert await store.prepare() == set()
    await store.create("acme", Draft())


async def test_duplicates_are_told_without_their_values(stored: Stored) -> None:
    """Where two contacts share the key, migrate says so and quotes neither."""
    store = await filled_without_indexes(stored)
    document = await stored.database.contacts.find_one({})
    assert document
    await stored.database.contacts.insert_one({**document, "_id": "ct_" + "0" * 38})
    with pytest.raises(CannotMigrate, match="share account, fingerprint and class") as caught:
        await store.migrate()
    assert "known" not in str(caught.value)


async def test_an_index_under_another_name_serves(stored: Stored) -> None:
    """What counts is keys, order and uniqueness: an index that an operator made by hand is taken as it is."""
    store = await filled_without_indexes(stored)
    await stored.database.contacts.create_index(
        [("account", 1), ("fingerprint", 1), ("trusted", 1)], unique=True
    )
    await stored.database.contacts.create_index([("terms", 1), ("_id", 1)])
    assert await store.prepare() == set()
    await store.ensure("acme", Draft(email="ann@example.com"))
    for wanted in (ContactFilter(emails=("ann@example.com",)), ContactFilter(fingerprints=("known",))):
        scan = store.scan(Selection("acme", wanted, newest_first=True))
        assert sum([len(part) async for part in scan]) == 1


@pytest.mark.parametrize(
    "options",
    [{}, {"unique": True, "sparse": True}, {"unique": True, "partialFilterExpression": {"trusted": True}}],
)
async def test_an_index_that_is_not_unique_for_all_is_in_the_way(
    options: dict[str, Any], stored: Stored
) -> None:
    """An index on the same keys that lets doubles pass is no unique index; migrate says to drop it."""
    store = await filled_without_indexes(stored)
    await stored.database.contacts.create_index(
        [("account", 1), ("fingerprint", 1), ("trusted", 1)], name=indexes.IDENTITY, **options
    )
    assert indexes.IDENTITY in await store.prepare()
    with pytest.raises(StoreUnavailable):
        await store.create("acme", Draft())
    with pytest.raises(CannotMigrate, match="drop it"):
        await store.migrate()
