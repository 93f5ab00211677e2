"""Deletions of real replicas: one is killed or told to stop in the middle of its batches, another goes on."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from contactservice.v1.deletion_pb2 import DELETION_STATE_COMPLETE
from tests.client import Client
from tests.linked import LINKS, Database, hashed, link_rows, linked_file, named
from tests.process import ServiceProcess

pytestmark = pytest.mark.timeout(180)

ROWS = 15_000


@pytest_asyncio.fixture
async def database(mongodb_uri: str, account: str) -> AsyncIterator[Database]:
    async with AsyncMongoClient[dict[str, Any]](mongodb_uri) as mongo:
        for link in LINKS:
            keys = [(link.account_field, 1), (link.contact_field, 1)]
            await mongo[account][link.collection].create_index(keys)
        yield mongo[account]
        await mongo.drop_database(account)


@pytest.fixture
def pair(
    tmp_path: Path,
    mongodb_uri: str,
    tokens: Path,
    any_token: str,  # noqa: ARG001
    account: str,
) -> Iterator[list[ServiceProcess]]:
    linked = linked_file(tmp_path, *LINKS)
    flags = ["--mongodb-uri", mongodb_uri, "--database", account, "--tokens", str(tokens)]
    with (
        ServiceProcess(tmp_path / "one", *flags, "--linked", str(linked)) as one,
        ServiceProcess(tmp_path / "two", *flags, "--linked", str(linked)) as two,
    ):
        yield [one, two]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to stop"])
async def test_a_replica_that_goes_leaves_a_deletion_to_the_other(
    pair: list[ServiceProcess], database: Database, any_token: str, account: str, number: signal.Signals
) -> None:
    """The other finishes it without being called; all rows are counted once, those of others untouched."""
    async with grpc.aio.insecure_channel(pair[0].address) as channel:
        client = Client(channel, any_token, account)
        contact, kept = await client.create(), await client.create()
        await link_rows(database, account, contact.id, ROWS)
        await link_rows(database, account, kept.id, 10)
        await link_rows(database, account + "-b", contact.id, 10)
        before = await hashed(database, but=account)
        deleting = asyncio.ensure_future(client.call("DeleteContact", id=contact.id))
        mine = {"tenant": account, "people.contact": contact.id}
        while await database.messages.count_documents(mine) == ROWS:
            await asyncio.sleep(0.005)
        pair[0].process.send_signal(number)
        await asyncio.gather(deleting, return_exceptions=True)
        await asyncio.to_thread(pair[0].process.wait, 60)
    async with asyncio.timeout(100):
        while await database.deletions.count_documents({"finished_at": None}):
            await asyncio.sleep(0.1)
    async with grpc.aio.insecure_channel(pair[1].address) as channel:
        client = Client(channel, any_token, account)
        receipt = (await client.call("DeleteContact", id=contact.id, allow_missing=True)).receipt
        assert receipt.state == DELETION_STATE_COMPLETE
        assert [(each.deleted, each.unlinked) for each in receipt.collections] == [
            (ROWS, 0),
            (ROWS, 0),
            (0, ROWS),
            (0, 0),
        ]
        assert await client.list() == ([kept], "")
    # Those of another account, which only has the id beside its own name.
    assert await named(database, contact.id) == 3 * 10
    assert await named(database, kept.id) == 3 * 10
    assert await hashed(database, but=account) == before
    assert "a deletion waits" not in pair[1].log
