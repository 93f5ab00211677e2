"""A store on a database of its own, with the driver's client beside it; a mongod of a test's own."""

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from service.storage.connection import connect
from service.storage.gate import Gate
from service.storage.mongod import EmbeddedMongod
from service.storage.store import Store
from tests.fail_points import ObedientMongod


@dataclass(frozen=True)
class Stored:
    """A prepared store, and its database as the driver sees it."""

    store: Store
    database: AsyncDatabase[dict[str, Any]]


@pytest_asyncio.fixture
async def mongo(mongodb_uri: str) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    client = connect(mongodb_uri)
    yield client
    await client.close()


@pytest.fixture(scope="module")
def obedient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObedientMongod]:
    mongod = ObedientMongod(tmp_path_factory.mktemp("obedient"))
    mongod.start()
    yield mongod
    mongod.stop(timeout=0)


@pytest_asyncio.fixture
async def obeying(obedient: ObedientMongod) -> AsyncIterator[Stored]:
    """A prepared store on a mongod that takes fail points."""
    client = connect(obedient.uri)
    name = "store-" + secrets.token_hex(6)
    store = Store(client, name, Gate())
    await store.prepare()
    yield Stored(store, client[name])
    await store.close()


@pytest_asyncio.fixture
async def stored(mongo: AsyncMongoClient[dict[str, Any]]) -> AsyncIterator[Stored]:
    name = "store-" + secrets.token_hex(6)
    store = Store(mongo, name, Gate())
    await store.prepare()
    yield Stored(store, mongo[name])
    await mongo.drop_database(name)


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[EmbeddedMongod]:
    mongod = EmbeddedMongod(tmp_path / "data")
    mongod.start()
    yield mongod
    mongod.stop(timeout=0)


@pytest.fixture
def unstarted(tmp_path: Path) -> Iterator[EmbeddedMongod]:
    mongod = EmbeddedMongod(tmp_path / "data")
    yield mongod
    mongod.stop(timeout=0)
