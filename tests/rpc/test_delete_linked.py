"""DeleteContact with linked collections: what callers are told, and that nothing of the person stays."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from contactservice.v1.deletion_pb2 import (
    DELETION_STATE_COMPLETE,
    DELETION_STATE_RUNNING,
    DeletionReceipt,
)
from service import config as configuration
from service.domain.links import Action, Link
from service.rpc.server import rules
from service.storage.linked_rows import LinkedFileInvalid
from tests.client import Client, request
from tests.linked import LINKS, hashed, link_rows, linked_file, named
from tests.rpc.serving import serving

CANARY = "canary-8d41c7"
# The oplog is what a replica set repeats; it rolls by its size, and docs/deletion.md says so.
OPLOG = ("local", "oplog.rs")
Mongo = AsyncMongoClient[dict[str, Any]]


@pytest_asyncio.fixture
async def mongo(mongodb_uri: str, account: str) -> AsyncIterator[Mongo]:
    """The driver beside the service; a database of the account's name goes with the test."""
    async with AsyncMongoClient[dict[str, Any]](mongodb_uri) as mongo:
        yield mongo
        await mongo.drop_database(account)


@pytest_asyncio.fixture
async def linking(
    mongodb_uri: str, tokens: Path, any_token: str, account: str, tmp_path: Path
) -> AsyncIterator[Client]:
    """Calls to a server with linked collections, on a database that has the name of the account."""
    flags = {
        "tokens": tokens,
        "database": account,
        "linked": linked_file(tmp_path, *LINKS),
        "store_timeout": 30,
    }
    async with serving(mongodb_uri, **flags) as (_, channel):
        yield Client(channel, any_token, account)


def counts(receipt: DeletionReceipt) -> list[tuple[str, int, int, int]]:
    return [(each.collection, each.deleted, each.unlinked, each.moved) for each in receipt.collections]


async def test_the_receipt_counts_each_collection(linking: Client, mongo: Mongo, account: str) -> None:
    """COMPLETE with its end, the collections in the order of the file; a repetition gets the same."""
    contact = await linking.create(name="Ann")
    await link_rows(mongo[account], account, contact.id, 1203)
    await link_rows(mongo[account], account + "-b", contact.id, 3)
    before = await hashed(mongo[account], but=account)
    receipt = (await linking.call("DeleteContact", id=contact.id)).receipt
    assert receipt.state == DELETION_STATE_COMPLETE
    assert receipt.finished_at.ToMilliseconds() >= receipt.started_at.ToMilliseconds()
    assert counts(receipt) == [
        ("messages", 1203, 0, 0),
        ("notes", 1203, 0, 0),
        ("tasks", 0, 1203, 0),
        ("invoices", 0, 0, 0),
    ]
    failed = await linking.failure("DeleteContact", id=contact.id)
    assert (failed.code, failed.reason) == ("NOT_FOUND", "CONTACT_NOT_FOUND")
    again = await linking.call("DeleteContact", id=contact.id, allow_missing=True)
    assert (again.id, again.receipt) == (contact.id, receipt)
    assert await hashed(mongo[account], but=account) == before


@pytest.mark.parametrize("fields", [{}, {"allow_missing": True}, {"with_etag": True}], ids=str)
async def test_linked_data_can_forbid_a_deletion(
    linking: Client, mongo: Mongo, account: str, fields: dict[str, bool]
) -> None:
    """DELETE_RESTRICTED with collection and count; all is as it was. Without the rows it goes."""
    contact = await linking.create(name="Ann")
    await link_rows(mongo[account], account, contact.id, 2)
    await mongo[account].invoices.insert_many([{"account": account, "customer": contact.id} for _ in "123"])
    wanted: dict[str, Any] = {"id": contact.id, "allow_missing": "allow_missing" in fields}
    if "with_etag" in fields:
        wanted["etag"] = contact.etag
    failed = await linking.failure("DeleteContact", **wanted)
    assert (failed.code, failed.reason) == ("FAILED_PRECONDITION", "DELETE_RESTRICTED")
    assert failed.metadata == {"collection": "invoices", "count": "3"}
    assert await linking.get(contact.id) == contact
    assert await named(mongo[account], contact.id) == 3 * 2
    await mongo[account].invoices.delete_many({"customer": contact.id})
    assert (await linking.call("DeleteContact", **wanted)).receipt.state == DELETION_STATE_COMPLETE


async def test_the_answer_comes_before_the_deadline(linking: Client, mongo: Mongo, account: str) -> None:
    """A caller whose time ends is told RUNNING a second before; the work goes on, as a repetition tells."""
    contact = await linking.create()
    await link_rows(mongo[account], account, contact.id, 3)
    async with mongo.start_session() as session:
        await session.start_transaction()
        # The row is held, so that nobody can remove it yet.
        named_here = {"contact": contact.id, "n": 1}
        await mongo[account].notes.update_one(named_here, {"$set": {"n": 9}}, session=session)
        message = request("DeleteContact", id=contact.id)
        answer = await linking.stub.DeleteContact(message, metadata=linking.metadata, timeout=3)
        assert answer.receipt.state == DELETION_STATE_RUNNING
        assert not answer.receipt.HasField("finished_at")
        assert counts(answer.receipt)[:2] == [("messages", 3, 0, 0), ("notes", 0, 0, 0)]
        assert (await linking.failure("GetContact", id=contact.id)).reason == "CONTACT_NOT_FOUND"
        await session.abort_transaction()
    state = DELETION_STATE_RUNNING
    async with asyncio.timeout(30):
        while state == DELETION_STATE_RUNNING:
            again = (await linking.call("DeleteContact", id=contact.id, allow_missing=True)).receipt
            state = again.state
    assert again.started_at == answer.receipt.started_at
    assert counts(again)[:3] == [("messages", 3, 0, 0), ("notes", 3, 0, 0), ("tasks", 0, 3, 0)]


async def test_nothing_of_the_person_stays_in_any_database(
    linking: Client, mongo: Mongo, account: str
) -> None:
    """After COMPLETE no byte of any document, of any collection, holds a text of the contact or its rows.

    Index entries: every index has as many keys as the documents that are left account for.
    """
    texts = ("name", "description", "email", "phone", "nickname", "preferences", "fingerprint")
    person = {name: f"{name[:5]}-{CANARY}"[:32] for name in texts}
    contact = await linking.create(**person, metadata={f"key-{CANARY}": [f"value-{CANARY}"]})
    await linking.update({"id": contact.id, "name": f"later-{CANARY}", "fingerprint": f"later-{CANARY}"})
    database = mongo[account]
    for name in ("messages", "notes"):
        await database[name].create_index("text")
    await link_rows(database, account, contact.id, 700, text=f"text-{CANARY}")
    assert await found(mongo)
    receipt = (await linking.call("DeleteContact", id=contact.id)).receipt
    assert receipt.state == DELETION_STATE_COMPLETE
    assert await found(mongo) == []
    assert CANARY.encode() not in receipt.SerializeToString()
    for name in ("contacts", "messages", "notes"):
        validated = await database.command("validate", name, full=True)
        assert validated["valid"]
        assert validated["nrecords"] == 0
        assert set(validated["keysPerIndex"].values()) == {0}
    [job] = await database.deletions.find().to_list()
    assert job.keys() == {"_id", "account", "started_at", "finished_at", "counts", "due_at"}


async def found(mongo: Mongo) -> list[tuple[str, str]]:
    """Database and collection of whatever holds the canary, in the bytes as they are stored."""
    collections = [
        (database, name)
        for database in await mongo.list_database_names()
        for name in await mongo[database].list_collection_names()
    ]
    return [each for each in collections if each != OPLOG and await holds(mongo, *each)]


async def holds(mongo: Mongo, database: str, name: str) -> bool:
    return any([CANARY.encode() in batch async for batch in mongo[database][name].find_raw_batches()])


async def test_a_job_without_a_worker_is_swept(linking: Client, mongo: Mongo, account: str) -> None:
    """A deletion that a dead replica left is finished without any call, by the server's own sweeper."""
    contact = await linking.create()
    await link_rows(mongo[account], account, contact.id, 5)
    job = {"account": account, "started_at": contact.created_at.ToDatetime(), "holders": 1}
    await mongo[account].deletions.insert_one({"_id": contact.id, "due_at": job["started_at"], **job})
    async with asyncio.timeout(30):
        while await mongo[account].deletions.count_documents({"finished_at": None}):
            await asyncio.sleep(0.05)
    assert await named(mongo[account], contact.id) == 0
    assert (await linking.failure("GetContact", id=contact.id)).reason == "CONTACT_NOT_FOUND"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[[linked]]\ncollection = 'contacts'\n", r"table 1, account_field: missing"),
        ("[[linked]]\ncolection = 'notes'\n", r"table 1, colection: unknown key"),
        ("", r"has no \[\[linked\]\] table"),
        ("[[linked", r"is no TOML"),
        (None, r"cannot be read"),
    ],
)
def test_a_wrong_file_is_named_with_its_flag(tmp_path: Path, content: str | None, says: str) -> None:
    """One sentence with the flag, the file, and what is wrong in it."""
    file = tmp_path / "linked.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(LinkedFileInvalid, match=rf"^--linked {re.escape(str(file))}: .*{says}"):
        rules(configuration.load({"linked": file}))


@pytest.mark.parametrize("name", ["contacts", "deletions", "settings"])
def test_no_link_reaches_into_the_collections_of_the_service(tmp_path: Path, name: str) -> None:
    """A file that names one of ours is refused."""
    file = linked_file(tmp_path, Link(name, "account", "contact", Action.CASCADE))
    with pytest.raises(LinkedFileInvalid, match="table 1, collection: belongs to this service"):
        rules(configuration.load({"linked": file}))


def test_a_wrong_file_stops_the_start(tmp_path: Path) -> None:
    """Before a database is started or looked for, with one sentence and nothing else."""
    file = linked_file(tmp_path, Link("notes", "account", "$contact", Action.UNLINK))
    flags = ("--address", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"), "--linked", str(file))
    command = (sys.executable, "-m", "service", "serve", *flags)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    [sentence] = ended.stderr.splitlines()
    assert sentence.startswith(f"contactservice: --linked {file}: [[linked]] table 1, contact_field: ")
    assert not (tmp_path / "data" / "WiredTiger").exists()
