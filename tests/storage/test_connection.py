"""Connections on which nothing comes any more: given up a second after the time of an operation."""

import asyncio
import secrets

from pymongo import uri_parser
from pymongo.asynchronous.collection import AsyncCollection

from service.domain.contact import Draft
from service.domain.errors import StoreTimeout
from service.storage.connection import connect
from service.storage.documents import Document
from service.storage.gate import Gate
from service.storage.store import Store
from tests.storage.conftest import Stored
from tests.storage.proxy import proxied


async def test_a_dead_path_gives_its_slots_back(mongodb_uri: str, stored: Stored) -> None:
    """Operations of which nothing is heard any more end a second after their time; then others have room."""
    contact, _ = await stored.store.create("acme", Draft())
    _, port = uri_parser.parse_uri(mongodb_uri)["nodelist"][0]
    async with proxied(port) as (proxy, door):
        client = connect(f"mongodb://127.0.0.1:{door}/?directConnection=true", seconds=0.5)
        gate = Gate(slots=4, seconds=0.5)
        store = Store(client, stored.database.name, gate, batching=False)
        await store.prepare()
        await connected(client[stored.database.name]["contacts"], gate.most)
        others = [(await stored.store.create("acme", Draft()))[0].id for _ in range(4)]
        proxy.is_dead = True
        gets = (store.get("acme", each) for each in others)
        ends = await asyncio.gather(*gets, return_exceptions=True)
        assert [type(end) for end in ends] == [StoreTimeout] * 4
        assert gate.under_way == 4
        # Their time is over by now; a second is left. The rest is for a machine that is busy.
        async with asyncio.timeout(2):
            await gate.drained()
        proxy.is_dead = False
        assert await store.get("acme", contact.id) == contact
        await store.close()


async def connected(collection: AsyncCollection[Document], count: int) -> None:
    """There are so many connections: operations that overlap have made them."""
    slowly = {"$where": "sleep(100) || true"}
    await asyncio.gather(*(collection.find_one(slowly) for _ in range(count)))


async def test_who_is_unhurried_waits(mongodb_uri: str) -> None:
    """What may take long, as a migration may, is not ended for the silence of its connection."""
    client = connect(mongodb_uri, seconds=0.1, unhurried=True)
    collection = client["tests"][secrets.token_hex(4)]
    await collection.insert_one({})
    assert await collection.find_one({"$where": "sleep(1500) || true"})
    await collection.drop()
    await client.close()


async def test_nothing_of_the_uri_makes_it_wait_longer() -> None:
    """Connecting and silence end by the service's own setting, with which the rest of it reckons."""
    client = connect("mongodb://127.0.0.1/?socketTimeoutMS=90000&connectTimeoutMS=90000", seconds=2)
    options = client.options.pool_options
    assert (options.connect_timeout, options.socket_timeout) == (3, 3)
    await client.close()
