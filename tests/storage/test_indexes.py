"""Indexes: made on an empty collection, asked for on a filled one, and never silently missing."""

from typing import Any

import pytest
from pymongo import IndexModel

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
    assert await indexes.missing(stored.database) == []


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


async def test_an_index_that_is_dropped_closes_for_writes(stored: Stored) -> None:
    """The next look misses it: nothing is written that it would have refused."""
    await stored.store.create("acme", Draft(fingerprint="known"))
    await stored.database.contacts.drop_index(indexes.IDENTITY)
    assert await stored.store.prepare() == {indexes.IDENTITY}
    with pytest.raises(StoreUnavailable, match="contactservice migrate"):
        await stored.store.create("acme", Draft(fingerprint="known"))
    await stored.store.migrate()
    _, created = await stored.store.create("acme", Draft(fingerprint="known"))
    assert not created


async def test_a_collection_that_is_dropped_gets_its_indexes_again(stored: Stored) -> None:
    """As at the start: it is empty, so the next look makes them, and no person becomes two."""
    await stored.store.create("acme", Draft(fingerprint="known"))
    await stored.database.contacts.drop()
    assert await stored.store.prepare() == set()
    for expected in (True, False):
        _, created = await stored.store.create("acme", Draft(fingerprint="known"))
        assert created is expected


async def test_receipts_get_their_indexes_beside_contacts(stored: Stored) -> None:
    """Each collection counts for itself: an empty one gets its indexes, whatever the others hold."""
    await stored.store.create("acme", Draft())
    await stored.database.deletions.drop()
    assert await stored.store.prepare() == set()
    assert "finished_at" in await stored.database.deletions.index_information()


async def test_an_index_that_has_just_gone_is_named(stored: Stored) -> None:
    """Who searches by it before the next look is told so; it is no bug of the service."""
    await stored.store.create("acme", Draft(fingerprint="known"))
    await stored.database.contacts.drop_index(indexes.IDENTITY)
    with pytest.raises(StoreUnavailable, match=f"{indexes.IDENTITY} is missing"):
        await stored.store.ensure("acme", Draft(fingerprint="known"))


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "is not unique"),
        ({"unique": True, "sparse": True}, "is sparse"),
        ({"unique": True, "partialFilterExpression": {"trusted": True}}, "is partial"),
        ({"unique": True, "collation": {"locale": "en", "strength": 2}}, "has a collation"),
        ({"unique": True, "hidden": True}, "is hidden"),
    ],
)
@pytest.mark.parametrize("name", [indexes.IDENTITY, "by hand"])
async def test_an_index_that_does_not_keep_all_apart_is_in_the_way(
    name: str, options: dict[str, Any], fault: str, stored: Stored
) -> None:
    """On the same keys it is no unique index, and hides the right one; migrate says what differs."""
    store = await filled_without_indexes(stored)
    keys = [("account", 1), ("fingerprint", 1), ("trusted", 1)]
    await stored.database.contacts.create_index(keys, name=name, **options)
    assert indexes.IDENTITY in await store.prepare()
    with pytest.raises(StoreUnavailable):
        await store.create("acme", Draft())
    with pytest.raises(CannotMigrate, match=f"the index {name} of contacts {fault}; drop it"):
        await store.migrate()


async def test_another_index_on_the_same_keys_is_in_the_way(stored: Stored) -> None:
    """Beside the right one, too: the database would not know which one a search names."""
    await stored.store.create("acme", Draft(fingerprint="known"))
    keys = indexes.KEYS[indexes.IDENTITY]
    await stored.database.contacts.create_index(keys, name="by hand", collation={"locale": "en"})
    assert await stored.store.prepare() == {indexes.IDENTITY}
    await stored.database.contacts.drop_index("by hand")
    assert await stored.store.prepare() == set()


async def test_an_index_of_the_name_on_other_keys_is_in_the_way(stored: Stored) -> None:
    """Two of one name cannot be; the sentence names it."""
    store = await filled_without_indexes(stored)
    await stored.database.contacts.create_index("nickname", name=indexes.TERMS)
    with pytest.raises(CannotMigrate, match=f"the index {indexes.TERMS} of contacts has other keys; drop it"):
        await store.migrate()


@pytest.mark.parametrize("options", [{}, {"expireAfterSeconds": 5}])
async def test_receipts_that_would_stay_or_go_too_early_are_told(
    options: dict[str, Any], stored: Stored
) -> None:
    """An index by end that lets receipts live for another time than is promised is not the one."""
    await stored.database.deletions.insert_one({"_id": "x"})
    await stored.database.deletions.drop_index("finished_at")
    await stored.database.deletions.create_indexes([IndexModel("finished_at", **options)])
    assert await stored.store.prepare() == {"finished_at"}
    with pytest.raises(CannotMigrate, match="does not expire documents after 7776000 s"):
        await stored.store.migrate()


async def test_a_collection_with_a_collation_is_refused(stored: Stored) -> None:
    """Its indexes take it over, and would take texts that differ for equal."""
    await stored.database.contacts.drop()
    await stored.database.create_collection("contacts", collation={"locale": "en", "strength": 2})
    with pytest.raises(CannotMigrate, match="was made with a collation"):
        await stored.store.migrate()
