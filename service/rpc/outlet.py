"""The context of a streaming RPC as its servicer sees it: where it writes to, and what is sent is counted."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import grpc

from service.domain.errors import ReaderStalled
from service.rpc.call import Call

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Sent(NamedTuple):
    """The bytes of a message of a stream, with how many contacts it is about."""

    raw: bytes
    records: int = 0


class Exported:
    """What all exports (or watches) of this process have sent, and how many are under way."""

    def __init__(self) -> None:
        self.rows = self.bytes = self.streams = 0

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Around one of them."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1


class Outlet:
    """Where a streaming RPC writes."""

    def __init__(
        self,
        context: Context,
        stall_seconds: float,
        call: Call,
        exported: Exported | None = None,
        tell: Callable[[Call], None] | None = None,
    ) -> None:
        """Of what is exported, rows and bytes are counted; `tell` comes before each message."""
        self._context = context
        self._stall_seconds = stall_seconds
        self._call = call
        self._exported = exported
        self._tell = tell

    async def write(self, message: Sent) -> None:
        """Sends; raises ReaderStalled when the client takes nothing for too long."""
        if self._tell:
            self._tell(self._call)
        writing = asyncio.ensure_future(self._context.write(message.raw))
        writing.add_done_callback(look_at)
        done, _ = await asyncio.wait({writing}, timeout=self._stall_seconds)
        if not done:
            raise ReaderStalled(self._stall_seconds)
        await writing
        self._count(message)

    def _count(self, message: Sent) -> None:
        self._call.method.counts.sent += 1
        self._call.rows += message.records
        if self._exported:
            self._call.bytes += len(message.raw)
            self._exported.rows += message.records
            self._exported.bytes += len(message.raw)


def look_at(moving: "asyncio.Future[Any]") -> None:
    """A write or read that its caller no longer awaits fails when the client leaves: nothing to report."""
    if not moving.cancelled():
        moving.exception()
