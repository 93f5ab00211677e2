"""A mongod that waits and fails where a test tells it to: the fail points of MongoDB's own tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pymongo import AsyncMongoClient

from service.storage.mongod import EmbeddedMongod
from service.storage.mongod_process import Child


class ObedientMongod(EmbeddedMongod):
    """The own mongod, started so that it takes fail points."""

    def _spawn(self, options: tuple[str, ...]) -> Child:
        return super()._spawn((*options, "--setParameter", "enableTestCommands=1"))


@asynccontextmanager
async def fail_point(
    client: AsyncMongoClient[dict[str, Any]], name: str, mode: Any = "alwaysOn", **details: Any
) -> AsyncIterator[None]:
    """In force until the block ends; other modes: {"times": n}."""
    await client.admin.command("configureFailPoint", name, mode=mode, data=details)
    try:
        yield
    finally:
        await client.admin.command("configureFailPoint", name, mode="off")
