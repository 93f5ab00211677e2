"""Linked collections on which the service lacks a right: what callers are told, and what the log says."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase

from service.domain.errors import StoreUnavailable
from service.storage.mongod_binary import choose
from service.storage.mongod_process import direct, end, free_port, listens, spawn
from tests.linked import INVOICES, NOTES, TASKS, contact_of, counts, replica, swept

DATABASE = "contactservice"
ACTIONS = ["find", "insert", "update", "remove", "listIndexes", "createIndex", "createCollection"]
ROWS = 2


class Guarded:
    """A mongod that asks for credentials, and its user `ann`, who may do what is granted."""

    def __init__(self, port: int) -> None:
        self.uri = f"mongodb://ann:hunter2@127.0.0.1:{port}/?authSource=admin"
        self._root: MongoClient[dict[str, Any]] = MongoClient(
            "127.0.0.1", port, username="root", password="hunter2"
        )
        with direct(port) as client:
            client.admin.command("createUser", "root", pwd="hunter2", roles=["root"])
        self._root.admin.command("createRole", "service", privileges=[], roles=[])
        self._root.admin.command("createUser", "ann", pwd="hunter2", roles=["service"])

    def grant(self, *collections: str) -> None:
        privileges = [
            {"resource": {"db": DATABASE, "collection": each}, "actions": ACTIONS} for each in collections
        ]
        self._root.admin.command("grantPrivilegesToRole", "service", privileges=privileges)

    def close(self) -> None:
        self._root.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    port = free_port()
    (tmp_path / "db").mkdir()
    child = spawn(choose(None, tmp_path / "lib"), tmp_path / "db", port, "--auth")
    try:
        deadline = time.monotonic() + 30
        while not listens(port):
            assert time.monotonic() < deadline, "mongod does not listen"
            time.sleep(0.02)
        guarded = Guarded(port)
        guarded.grant("contacts", "deletions", "settings", "notes")
        yield guarded
        guarded.close()
    finally:
        end(child, 0)


@pytest_asyncio.fixture
async def database(guarded: Guarded) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    async with AsyncMongoClient[dict[str, Any]](guarded.uri) as client:
        yield client[DATABASE]


def refusing(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Collection and cause of each warning about a linked collection."""
    records = [each for each in caplog.records if each.getMessage() == "a linked collection refuses"]
    assert {each.levelname for each in records} <= {"WARNING"}
    return [(each.__dict__["collection"], each.__dict__["error"]) for each in records]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_deletion_waits_for_a_right_and_says_so(
    guarded: Guarded, database: AsyncDatabase[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """RUNNING, with the other rows gone and a warning that names the collection; granted, it ends."""
    async with replica(database, links=(NOTES, TASKS)) as store:
        contact = await contact_of(store, "acme")
        await database.notes.insert_many([{"account": "acme", "contact": contact} for _ in range(ROWS)])
        receipt = await store.delete("acme", contact)
        assert receipt
        assert receipt.finished_at is None
        assert counts(receipt) == {"notes": (ROWS, 0), "tasks": (0, 0)}
        assert refusing(caplog) == [("tasks", "a missing right")]
        [waits] = [each for each in caplog.records if each.getMessage() == "a deletion waits"]
        assert waits.__dict__["error"] == "a missing right"
        guarded.grant("tasks")
        await database.deletions.update_one({}, [{"$set": {"due_at": "$started_at"}}])
        await swept(store)
        receipt = await store.delete("acme", contact, allow_missing=True)
        assert receipt
        assert receipt.finished_at


async def test_a_right_that_is_missing_is_told_as_that(
    guarded: Guarded, database: AsyncDatabase[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """Not as a database that is away, and without the driver's words; the contact stays, with no job."""
    async with replica(database, links=(NOTES, INVOICES)) as store:
        contact = await contact_of(store, "acme")
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"refuses the service's user a right") as caught:
                await store.delete("acme", contact)
            assert not any(word in str(caught.value) for word in ("invoices", "not authorized", "away"))
        assert refusing(caplog) == [("invoices", "a missing right")]
        assert await store.get("acme", contact)
        assert await database.deletions.count_documents({}) == 0
        guarded.grant("invoices")
        assert await store.delete("acme", contact)


async def test_a_look_for_indexes_that_failed_is_made_again(
    guarded: Guarded, database: AsyncDatabase[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """What is missing is told as soon as it can be known, not at the next start."""

    def warned() -> list[str]:
        told = [each for each in caplog.records if "whole linked collection" in each.getMessage()]
        return [each.__dict__["indexes"] for each in told]

    async with replica(database, links=(NOTES, TASKS), look_seconds=0.01) as store:
        following = asyncio.create_task(store.sweeper.follow())
        await until(lambda: refusing(caplog))
        assert warned() == []
        guarded.grant("tasks")
        await until(warned)
        following.cancel()
    assert len(warned()) == 2
    assert "'tasks'" in warned()[1]


async def test_late_rows_that_cannot_be_looked_for_are_told(
    guarded: Guarded, database: AsyncDatabase[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """The sweeper says that it cannot look, and for which collection; granted, it goes on."""
    async with replica(database, links=(NOTES,)) as store:
        contact = await contact_of(store, "acme")
        await store.delete("acme", contact)
        await database.notes.insert_one({"account": "acme", "contact": contact})
        await database.deletions.update_one({}, [{"$set": {"due_at": "$started_at"}}])
    async with replica(database, links=(TASKS, NOTES), look_seconds=0.01) as store:
        following = asyncio.create_task(store.sweeper.follow())
        await until(lambda: "the sweeper cannot look for deletions to finish" in caplog.messages)
        assert refusing(caplog) == [("tasks", "a missing right")]
        guarded.grant("tasks")
        async with asyncio.timeout(30):
            while await database.notes.count_documents({}):
                await asyncio.sleep(0.01)
        following.cancel()
