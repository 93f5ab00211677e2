"""Ids of another account: refused without a look, and alike whether they exist or not."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from tests.client import Client, request
from tests.commands import Commands
from tests.rpc.item_end import FOREIGN, ItemEnd
from tests.rpc.refusal import Refusal, refusal
from tests.rpc.serving import serving
from tests.rpc.test_tenancy import METHODS, SHARED, stranger

__all__ = ["stranger"]


@pytest_asyncio.fixture
async def watched(
    mongodb_uri: str, tokens: Path, any_token: str, account: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Client, Commands]]:
    """A stranger on a server whose database commands are seen."""
    commands = Commands()

    def connect(uri: str, *_: Any) -> AsyncMongoClient[dict[str, Any]]:
        return AsyncMongoClient(uri, event_listeners=[commands])

    monkeypatch.setattr("service.rpc.server.connect", connect)
    async with serving(mongodb_uri, tokens=tokens) as (_, channel):
        client = Client(channel, any_token, account + "-b")
        await client.list()
        assert "find" in commands.names
        yield client, commands


# How each RPC can name a contact by its id. The others have none to name.
BY_ID: dict[str, list[Callable[[str], dict[str, Any]]]] = {
    "GetContact": [lambda foreign: {"id": foreign}],
    "UpdateContact": [
        lambda foreign: {"contact": {"id": foreign, "name": "Eve"}},
        lambda foreign: {"contact": {"id": foreign}},
        lambda foreign: {"contact": {"id": foreign, "etag": "1", "fingerprint": "new"}, "update_mask": "*"},
    ],
    "DeleteContact": [
        lambda foreign: {"id": foreign},
        lambda foreign: {"id": foreign, "etag": "1"},
        lambda foreign: {"id": foreign, "allow_missing": True},
    ],
    "ListContacts": [lambda foreign: {"filter": {"ids": [foreign]}}],
    "CountContacts": [lambda foreign: {"filter": {"ids": [foreign]}}],
    "PurgeContacts": [
        lambda foreign: {"filter": {"ids": [foreign]}},
        lambda foreign: {"filter": {"ids": [foreign]}, "force": True},
    ],
    "WatchContacts": [lambda foreign: {"filter": {"ids": [foreign]}}],
    "ExportContacts": [lambda foreign: {"filter": {"ids": [foreign]}, "format": "EXPORT_FORMAT_CONTACTS"}],
}


def test_every_rpc_that_takes_an_id_has_foreign_ones() -> None:
    """One that takes a single id, or a filter, fails here without; items of many have a test of their own."""
    in_items = {name for name in METHODS if name.startswith("Batch")} | {"ImportContacts"}
    assert set(BY_ID) == set(METHODS) - {"CreateContact", "EnsureContact"} - in_items


@pytest.mark.parametrize("method", ["BatchGetContacts", "BatchDeleteContacts", "ImportContacts"])
async def test_a_foreign_id_of_a_batch_tells_nothing(
    client: Client, watched: tuple[Client, Commands], method: str
) -> None:
    """As of a call of its own: the same whether it exists or not, and the database is not asked."""
    stranger, commands = watched
    there, gone = await client.create(**SHARED), await client.create()
    await client.call("DeleteContact", id=gone.id)
    commands.seen.clear()
    foreign = [there.id, gone.id, there.id[:-4] + "ZZZZ"]
    rows = [SHARED | {"id": each, "trusted": True} for each in foreign]
    fields = {"contacts": rows} if method == "ImportContacts" else {"ids": foreign}
    answer = await stranger.call(method, **fields)
    assert [ItemEnd.of(outcome.error) for outcome in answer.outcomes] == [FOREIGN] * 3
    assert {*commands.names} <= {"ping"}
    assert await client.list() == ([there], "")


@pytest.mark.parametrize("method", BY_ID)
async def test_a_foreign_id_tells_nothing(
    client: Client, watched: tuple[Client, Commands], method: str
) -> None:
    """CONTACT_NOT_OWNED, byte for byte the same whether the id exists, is deleted or never was.

    The database is not asked, and nothing has changed for the owner.
    """
    stranger, commands = watched
    there, gone = await client.create(**SHARED), await client.create()
    await client.call("DeleteContact", id=gone.id)
    never = there.id[:-4] + "ZZZZ"
    for fields in BY_ID[method]:
        commands.seen.clear()
        answers: list[Refusal] = []
        for contact_id in (there.id, gone.id, never):
            call = stranger.unary(method)(request(method, **fields(contact_id)), metadata=stranger.metadata)
            answers.append(await refusal(call))
        assert {*commands.names} <= {"ping"}
        assert {(answer.code, answer.reason) for answer in answers} == {
            ("PERMISSION_DENIED", "CONTACT_NOT_OWNED")
        }
        assert len(set(answers)) == 1
        assert not answers[0].info.metadata
    assert await client.list() == ([there], "")
    assert await stranger.list() == ([], "")
