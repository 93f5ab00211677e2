"""The requests of a stream as its servicer sees them: parsed one by one, counted, not waited for long."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from service.domain.errors import ReaderStalled
from service.rpc.call import Call
from service.rpc.outlet import Context, look_at


class Inlet:
    """The messages of one call, each read when the servicer asks for it."""

    def __init__(
        self, context: Context, stall_seconds: float, call: Call, let_in: Callable[[Any], object]
    ) -> None:
        self._context = context
        self._stall_seconds = stall_seconds
        self._call = call
        self._let_in = let_in

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Until the client has sent its last; raises ReaderStalled, InvalidField or what `let_in` raises."""
        while (raw := await self._raw()) is not grpc.aio.EOF:
            self._call.method.counts.received += 1
            self._call.bytes += len(raw)
            request = self._call.method.parsed(raw)
            self._let_in(request)
            yield request

    async def _raw(self) -> Any:
        reading = asyncio.ensure_future(self._context.read())
        reading.add_done_callback(look_at)
        done, _ = await asyncio.wait({reading}, timeout=self._stall_seconds)
        if not done:
            raise ReaderStalled(self._stall_seconds, "The client sent nothing")
        return await reading
