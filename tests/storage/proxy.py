"""A door between a client and its server that a test can shut in the middle of a conversation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar


class Proxy:
    """Passes bytes on, but for the next message that holds `stumbles_at`.

    That one is lost: the connection closes then, or stays open in silence when the proxy `swallows`. While
    `is_dead` all is lost, as on a path whose other end has vanished.
    """

    def __init__(self, target: int) -> None:
        self.stumbles_at = b""
        self.swallows = False
        self.is_dead = False
        self._target = target
        self._ends: set[asyncio.StreamWriter] = set()
        self._is_over = False

    def end(self) -> None:
        """Also of connections that are just being made."""
        self._is_over = True
        self.cut()

    def cut(self) -> None:
        """Ends all connections where they are."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", self._target)
        self._ends |= {there, writer}
        if self._is_over:
            self.cut()
        backwards = asyncio.create_task(self.bring_back(back, writer))
        with suppress(ConnectionError):
            while message := await reader.read(65536):
                if self.is_dead:
                    continue
                if self.stumbles_at and self.stumbles_at in message:
                    self.stumbles_at = b""
                    if self.swallows:
                        continue
                    break
                there.write(message)
        backwards.cancel()
        for each in (there, writer):
            each.close()
            with suppress(ConnectionError):
                await each.wait_closed()

    async def bring_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while message := await reader.read(65536):
            writer.write(message)


AnyProxy = TypeVar("AnyProxy", bound=Proxy)


@asynccontextmanager
async def proxied(port: int, kind: type[AnyProxy] = Proxy) -> AsyncIterator[tuple[AnyProxy, int]]:
    """The proxy before that port, and its own."""
    proxy = kind(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        proxy.end()
