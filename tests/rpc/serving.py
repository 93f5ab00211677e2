"""A server of a test's own, in its process: with other settings, other tokens, or without a database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from service import config as configuration
from service.rpc.server import Server

NOBODY_LISTENS = "mongodb://127.0.0.1:9/?replicaSet=rs0"


@asynccontextmanager
async def serving(mongodb_uri: str, **flags: Any) -> AsyncIterator[tuple[Server, grpc.aio.Channel]]:
    """The running server and a channel to it; both end with the block."""
    settings = {
        "address": "127.0.0.1:0",
        "database": "tests",
        "drain_delay": 0.0,
        "drain_timeout": 0.0,
        **flags,
    }
    server = Server(configuration.load(settings), mongodb_uri, lambda: None)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(str(server.address)) as channel:
            yield server, channel
    finally:
        await server.stop()
