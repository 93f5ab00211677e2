"""Asking the database for a reply: once more when what is in its way passes, and never with a cursor left."""

from typing import Any

import bson
import pytest
from pymongo import AsyncMongoClient

from service.domain.contact import Draft
from service.domain.errors import StoreUnavailable
from service.domain.filters import ContactFilter, Selection
from service.storage.documents import to_document
from service.storage.queries import query
from service.storage.replies import Reply, ask, starts_of
from tests.fail_points import fail_point
from tests.people import fill, person
from tests.storage.conftest import Stored

EVERYBODY = query(Selection("acme", ContactFilter(), newest_first=False))


async def cut_connections(client: AsyncMongoClient[Any]) -> None:
    """As a network does it: the driver learns of it when it uses them."""
    for server in client._topology._servers.values():
        for connection in server._pool.conns:
            connection.conn.get_conn.transport.abort()


async def open_cursors(stored: Stored) -> int:
    status = await stored.database.command("serverStatus")
    return int(status["metrics"]["cursor"]["open"]["total"])


async def test_a_broken_connection_is_met_once_more(
    stored: Stored, mongo: AsyncMongoClient[dict[str, Any]]
) -> None:
    """An export does not end for one connection that the network has cut."""
    people = await fill(stored.store, "acme", count=5)
    await cut_connections(mongo)
    cursor = await ask(stored.database, EVERYBODY, 10)
    assert Reply(cursor, starts_of(cursor)).contacts() == people


@pytest.mark.parametrize("code", [134, 262])
async def test_an_election_is_met_once_more(code: int, obeying: Stored) -> None:
    """A primary that is new, or has no time yet, refuses reads for a moment; if it goes on, it is away."""
    contact, _ = await obeying.store.create("acme", Draft())
    failing = {"failCommands": ["find"], "errorCode": code}
    async with fail_point(obeying.database.client, "failCommand", {"times": 1}, **failing):
        assert await obeying.store.get("acme", contact.id) == contact
    async with fail_point(obeying.database.client, "failCommand", {"times": 2}, **failing):
        with pytest.raises(StoreUnavailable):
            await obeying.store.get("acme", contact.id)


async def test_a_reply_that_is_cut_leaves_no_cursor(stored: Stored) -> None:
    """A reply ends where the database cuts it, before so many documents; there is nothing to be fetched."""
    people = await fill(stored.store, "acme", count=700, size=32_000)
    before = await open_cursors(stored)
    cursor = await ask(stored.database, EVERYBODY, 700)
    reply = Reply(cursor, starts_of(cursor))
    assert 100 < len(reply) < 700
    assert reply.last_id() == people[len(reply) - 1].id
    assert bson.decode(cursor)["id"] == 0
    assert await open_cursors(stored) == before


async def test_large_contacts_behind_small_ones_hold_no_more_than_a_few_mib(stored: Stored) -> None:
    """What a scan keeps of a reply is bounded, however the sizes change; nobody is left out by that."""
    await fill(stored.store, "acme", count=900)
    large = [person("acme", number, size=60_000) for number in range(900, 1100)]
    await stored.database.contacts.insert_many([to_document("acme", each) for each in large])
    cursor = await ask(stored.database, EVERYBODY, 2000)
    whole = Reply(cursor, starts_of(cursor))
    assert len(cursor) > 10 * 2**20
    kept = whole.within(3 * 2**20)
    assert 900 < len(kept) < len(whole)
    assert len(kept.cursor) <= 3 * 2**20
    assert kept.contacts() == whole.contacts()[: len(kept)]
    assert len(whole.within(1)) == 1
    scan = stored.store.scan(Selection("acme", ContactFilter(), newest_first=False))
    assert [each.id async for part in scan for each in part] == [each.id for each in whole.contacts()]
