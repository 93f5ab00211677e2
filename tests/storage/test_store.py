"""The store's promises, one test for each sentence of its docstrings that no other file shows."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from service.domain.contact import Draft
from service.domain.errors import ContactNotFound, ContactNotOwned, FingerprintTaken, WriteConflict
from service.domain.filters import ContactFilter, Selection
from service.domain.update import Change
from service.storage import rounds
from service.storage.connection import MongodbUriInvalid, connect
from service.storage.documents import OPTIONS
from service.storage.gate import Gate
from service.storage.store import Store
from tests.commands import Commands
from tests.storage.conftest import Stored

EVERYTHING = Selection("acme", ContactFilter(), newest_first=False)


@pytest_asyncio.fixture
async def watched(mongodb_uri: str, stored: Stored) -> AsyncIterator[tuple[Store, Commands]]:
    """A second store on the same database, whose commands are seen."""
    commands = Commands()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb_uri, event_listeners=[commands])
    store = Store(client, stored.database.name, Gate())
    await store.prepare()
    commands.seen.clear()
    yield store, commands
    await client.close()


async def test_a_foreign_id_costs_no_database_command(watched: tuple[Store, Commands]) -> None:
    """The account tag in the id answers; the database is not asked, whether the contact exists or not."""
    store, commands = watched
    contact, _ = await store.create("acme", Draft())
    commands.seen.clear()
    for act in (
        lambda: store.get("other", contact.id),
        lambda: store.update("other", contact.id, Change(Draft(), frozenset())),
        lambda: store.delete("other", contact.id),
    ):
        with pytest.raises(ContactNotOwned):
            await act()
    assert commands.seen == []


async def test_every_command_on_contacts_names_its_account(watched: tuple[Store, Commands]) -> None:
    """Reads, writes and deletes carry the account in their query: what a sharded cluster routes by."""
    store, commands = watched
    contact, _ = await store.create("acme", Draft(fingerprint="f", email="a@example.com"))
    await store.ensure("acme", Draft(name="Ann"))
    await store.get("acme", contact.id)
    await store.update("acme", contact.id, Change(Draft(name="Bob"), frozenset({"name"})))
    async for _ in store.scan(Selection("acme", ContactFilter(emails=("a@example.com",)), newest_first=True)):
        pass
    await store.delete("acme", contact.id)
    queries = [query for command in commands.seen for query in queries_of(command)]
    assert len(queries) >= 7
    assert [query for query in queries if query.get("account") != "acme"] == []


def queries_of(command: dict[str, Any]) -> list[dict[str, Any]]:
    name = command["name"]
    if command.get(name) != "contacts":
        return []
    if name == "insert":
        return list(command.get("documents", []))
    statements = command.get("updates", []) + command.get("deletes", [])
    return [command["filter"]] if "filter" in command else [statement["q"] for statement in statements]


async def test_writes_wait_for_a_majority_and_its_journals(watched: tuple[Store, Commands]) -> None:
    """Every write command asks for w: majority and j: true, whatever the URI says."""
    store, commands = watched
    contact, _ = await store.create("acme", Draft())
    await store.update("acme", contact.id, Change(Draft(name="Bob"), frozenset({"name"})))
    await store.delete("acme", contact.id)
    writes = [command for command in commands.seen if command["name"] in {"insert", "update", "delete"}]
    assert {command["name"] for command in writes} == {"insert", "update", "delete"}
    for command in writes:
        assert command["writeConcern"]["w"] == "majority"
        assert command["writeConcern"]["j"] is True


async def test_a_scan_leaves_no_cursor_open(watched: tuple[Store, Commands]) -> None:
    """Each reply is a find of its own; nothing is fetched by getMore, so nothing is held between replies."""
    store, commands = watched
    for number in range(250):
        await store.create("acme", Draft(name=str(number)))
    commands.seen.clear()
    parts = [part async for part in store.scan(EVERYTHING)]
    assert sum(map(len, parts)) == 250
    assert {command["name"] for command in commands.seen} == {"find"}


async def test_a_reply_that_outgrows_sixteen_mebibytes_loses_nothing(stored: Stored) -> None:
    """The database cuts a reply that grows too large; the scan goes on behind the cut."""
    big = {"preferences": "x" * 32_000, "description": "y" * 4_000}
    small = [await stored.store.create("acme", Draft()) for _ in range(100)]
    sample = await stored.database.contacts.find_one({})
    assert sample
    first = max(contact.id for contact, _ in small)
    following = [first[:-4] + suffix for suffix in suffixes(1200)]
    await stored.database.contacts.insert_many(
        [{**sample, **big, "_id": contact_id, "fingerprint": contact_id} for contact_id in following]
    )
    seen = [contact.id async for part in stored.store.scan(EVERYTHING) for contact in part]
    assert len(seen) == len(set(seen)) == 1300


def suffixes(count: int) -> list[str]:
    alphabet = "GHJKMNPQRSTVWXYZ"
    return [f"Z{a}{b}{c}" for a in alphabet for b in alphabet for c in alphabet][:count]


async def test_a_race_of_creates_has_one_winner(stored: Stored) -> None:
    """Of many creates of one fingerprint, one says created; all return the same contact."""
    both = await asyncio.gather(
        *(stored.store.create("acme", Draft(fingerprint="f")) for _ in range(32)),
        *(stored.store.ensure("acme", Draft(fingerprint="f")) for _ in range(32)),
    )
    assert len({contact.id for contact, _ in both}) == 1
    assert sum(created for _, created in both) == 1


async def test_concurrent_updates_of_one_contact_all_land(stored: Stored) -> None:
    """Compare-and-swap retries until each of 64 writers has had its turn."""
    contact, _ = await stored.store.create("acme", Draft())

    async def write(number: int) -> None:
        draft = Draft(metadata={str(number): number})
        await stored.store.update("acme", contact.id, Change(draft, frozenset({"metadata"})))

    await asyncio.gather(*map(write, range(64)))
    after = (await stored.store.get("acme", contact.id)).contact
    assert after.metadata == {str(number): number for number in range(64)}
    assert after.rev == 65


async def test_a_writer_that_never_wins_gives_up(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is bounded: WriteConflict, and nothing of the update was written."""
    monkeypatch.setattr(rounds, "ROUNDS", 1)
    contact, _ = await stored.store.create("acme", Draft())
    change = [Change(Draft(name=str(number)), frozenset({"name"})) for number in range(16)]
    writes = (stored.store.update("acme", contact.id, each) for each in change)
    ends = await asyncio.gather(*writes, return_exceptions=True)
    lost = [end for end in ends if isinstance(end, WriteConflict)]
    assert lost
    assert (await stored.store.get("acme", contact.id)).contact.rev == 1 + len(ends) - len(lost)


async def test_a_taken_fingerprint_names_its_owner_and_applies_nothing(stored: Stored) -> None:
    """FingerprintTaken carries the id of the contact that has it; the update is not half applied."""
    owner, _ = await stored.store.create("acme", Draft(fingerprint="taken"))
    other, _ = await stored.store.create("acme", Draft(fingerprint="free"))
    change = Change(Draft(fingerprint="taken", name="Bob"), frozenset({"fingerprint", "name"}))
    with pytest.raises(FingerprintTaken) as caught:
        await stored.store.update("acme", other.id, change)
    assert caught.value.metadata == {"existing_id": owner.id}
    assert await stored.store.get("acme", other.id) == other


async def test_a_deletion_that_a_crash_left_open_is_finished_by_the_next(stored: Stored) -> None:
    """With the job written and the contact still there, or gone, deleting again ends with one receipt."""
    contact, _ = await stored.store.create("acme", Draft())
    now = datetime(2026, 1, 1, tzinfo=UTC)
    opened = {"_id": contact.id, "account": "acme", "started_at": now, "holders": 1}
    await stored.database.deletions.insert_one(opened)
    receipt = await stored.store.delete("acme", contact.id)
    assert receipt
    assert receipt.started_at == now
    await stored.database.deletions.update_one({"_id": contact.id}, {"$unset": {"finished_at": 1}})
    again = await stored.store.delete("acme", contact.id, allow_missing=True)
    assert again
    assert again.finished_at >= receipt.finished_at


async def test_a_receipt_is_kept_for_ninety_days_and_holds_no_person(stored: Stored) -> None:
    """The job document has account, id and times; an index lets the database expire it."""
    contact, _ = await stored.store.create("acme", Draft(fingerprint="secret", name="secret"))
    await stored.store.delete("acme", contact.id)
    job = await stored.database.deletions.find_one({})
    assert job
    assert set(job) == {"_id", "account", "started_at", "finished_at"}
    expiring = (await stored.database.deletions.index_information())["finished_at"]
    assert expiring["expireAfterSeconds"] == 90 * 24 * 3600


async def test_the_token_key_is_made_once(stored: Stored, mongodb_uri: str) -> None:
    """However many processes ask at once, there is one key, and it stays."""
    client = connect(mongodb_uri)
    others = [Store(client, stored.database.name, Gate()) for _ in range(8)]
    keys = await asyncio.gather(*(store.token_keys() for store in others), return_exceptions=True)
    assert {bytes(key[0]) for key in keys if not isinstance(key, BaseException)} == {
        bytes((await stored.store.token_keys())[0])
    }
    assert not [key for key in keys if isinstance(key, BaseException)]
    await client.close()


async def test_a_uri_that_cannot_be_used_is_not_quoted() -> None:
    """A wrong URI is refused at once, without repeating the password in it."""
    with pytest.raises(MongodbUriInvalid) as caught:
        connect("postgres://user:hunter2@db")
    assert "hunter2" not in str(caught.value)


async def test_a_contact_deleted_meanwhile_is_not_found(stored: Stored) -> None:
    """Get, update and delete of a deleted contact raise ContactNotFound."""
    contact, _ = await stored.store.create("acme", Draft())
    await stored.store.delete("acme", contact.id)
    for act in (
        lambda: stored.store.get("acme", contact.id),
        lambda: stored.store.update("acme", contact.id, Change(Draft(name="x"), frozenset({"name"}))),
        lambda: stored.store.delete("acme", contact.id),
    ):
        with pytest.raises(ContactNotFound):
            await act()


def test_stored_times_are_read_as_utc() -> None:
    """The decoder gives aware times; a naive one would compare with none of ours."""
    assert OPTIONS.tz_aware
