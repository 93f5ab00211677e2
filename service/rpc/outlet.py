"""The context of a streaming RPC as its servicer sees it: where it writes to, and what is sent is counted."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import grpc

from service.domain.errors import ReaderStalled
from service.rpc.call import Call

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ExportMessage(NamedTuple):
    """The bytes of a message of an export, with how many contacts it has."""

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

    def __init__(self, context: Context, stall_seconds: float, call: Call, exported: Exported) -> None:
        self._context = context
        self._stall_seconds = stall_seconds
        self._call = call
        self._exported = exported

    async def write(self, message: ExportMessage) -> None:
        """Sends; raises ReaderStalled when the client takes nothing for too long."""
        writing = asyncio.ensure_future(self._context.write(message.raw))
        writing.add_done_callback(_look_at)
        done, _ = await asyncio.wait({writing}, timeout=self._stall_seconds)
        if not done:
            raise ReaderStalled(self._stall_seconds)
        await writing
        self._count(message)

    def _count(self, message: ExportMessage) -> None:
        self._call.method.counts.sent += 1
        for counted in (self._call, self._exported):
            counted.rows += message.records
            counted.bytes += len(message.raw)


def _look_at(writing: "asyncio.Future[None]") -> None:
    # A write that its caller no longer awaits fails when the client leaves: nothing to report.
    if not writing.cancelled():
        writing.exception()
