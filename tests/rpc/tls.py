"""Channels over TLS, each with a connection and a certificate of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from service.rpc.server import Server
from tests.rpc.calls import listed
from tests.rpc.pki import Pair


@asynccontextmanager
async def secure(server: Server, trusted: bytes, pair: Pair | None = None) -> AsyncIterator[grpc.aio.Channel]:
    credentials = grpc.ssl_channel_credentials(
        trusted, pair.key if pair else None, pair.certificate if pair else None
    )
    # Without this option channels to one address would share a connection and its certificate.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(str(server.address), credentials, options) as channel:
        yield channel


async def connects(channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> bool:
    """Whether a call gets as far as the service; one over a connection that fails is UNAVAILABLE."""
    answer = await listed(channel, *metadata)
    return answer is None or answer.code != "UNAVAILABLE"
