"""A wire to the database that a test can cut and mend."""

import asyncio
from typing import Self

from pymongo.uri_parser import parse_uri


class Wire:
    """Listens on a port of its own and carries all bytes to and from the database."""

    def __init__(self, mongodb_uri: str) -> None:
        [(self._host, self._port), *_] = parse_uri(mongodb_uri)["nodelist"]
        self._listener: asyncio.Server | None = None
        self._own_port = 0
        self._ends: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self._own_port}/?directConnection=true"

    async def mend(self) -> None:
        self._listener = await asyncio.start_server(self._connect, "127.0.0.1", self._own_port)
        self._own_port = self._listener.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """New connections are refused, those that are open break."""
        if self._listener:
            self._listener.close()
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            self._ends.add(target)
            task = asyncio.create_task(self._carry(source, target))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(65536):
                target.write(chunk)
                await target.drain()
        finally:
            self._ends.discard(target)
            target.transport.abort()
