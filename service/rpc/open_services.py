"""What callers of health and reflection may cost. Nobody has to say who they are, so it is little for all.

The boundary lets these services pass. Their requests, too, arrive as bytes.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import Message

from service.domain.errors import InvalidField, RateLimited, ReaderStalled, ServiceError, Violation
from service.domain.limits import KIB
from service.rpc.outlet import Context
from service.rpc.status import wire_error

# Names of services, symbols and files. gRPC takes 1 MiB, and keeps it for as long as the stream.
REQUEST_BYTES: Final = 4 * KIB
_ROOM_SECONDS = 1.0

Handler: TypeAlias = Any  # grpc.RpcMethodHandler, generic in its types only


def fitting(raw: bytes) -> bytes:
    """The request of an open service; raises InvalidField when it is longer than any that makes sense."""
    if len(raw) > REQUEST_BYTES:
        raise InvalidField(Violation("request", f"must not have more than {REQUEST_BYTES} bytes"))
    return raw


class OpenStream:
    """A stream as its service sees it."""

    def __init__(self, context: Context, stall_seconds: float) -> None:
        self._context = context
        self._stall_seconds = stall_seconds

    async def read(self) -> bytes | None:
        """The next request, None when there is none any more; raises InvalidField when it is too long."""
        # Not what gRPC iterates over: that holds itself, and with it the last request.
        raw = await self._context.read()
        return fitting(raw) if isinstance(raw, bytes) else None

    async def write(self, message: Message) -> None:
        """Sends; raises ReaderStalled when that took too long."""
        started = time.monotonic()
        await self._context.write(message.SerializeToString())
        if time.monotonic() - started > self._stall_seconds:
            raise ReaderStalled(self._stall_seconds)


Behaviour = Callable[[OpenStream], Awaitable[None]]


class OpenStreams:
    """The streams of one open service: so many at once, of a connection and of all.

    A stream whose reader took nothing for too long is written to no more. It keeps its place until the reader
    takes what was written or leaves, since gRPC keeps that as long, and cannot end the stream before.
    """

    def __init__(self, most: int, most_of_connection: int, stall_seconds: float) -> None:
        self._most = most
        self._most_of_connection = most_of_connection
        self._stall_seconds = stall_seconds
        self._of_connection: Counter[str] = Counter()

    def handler(self, behaviour: Behaviour) -> Handler:
        """Of a method whose requests the behaviour reads, one or many."""

        async def stream(_: Any, context: Context) -> None:
            try:
                with self._place(context.peer()):
                    await behaviour(OpenStream(context, self._stall_seconds))
            except ServiceError as error:
                wire = wire_error(error)
                context.set_trailing_metadata(wire.trailing_metadata)
                context.set_code(wire.code)
                context.set_details(wire.message)

        return grpc.stream_stream_rpc_method_handler(stream)

    @contextmanager
    def _place(self, connection: str) -> Iterator[None]:
        if self._of_connection.total() >= self._most:
            raise _no_room("This replica")
        if self._of_connection[connection] >= self._most_of_connection:
            raise _no_room("This connection")
        self._of_connection[connection] += 1
        try:
            yield
        finally:
            self._of_connection[connection] -= 1
            if not self._of_connection[connection]:
                del self._of_connection[connection]


def _no_room(whose: str) -> RateLimited:
    return RateLimited(f"{whose} has as many streams of this kind as it may.", _ROOM_SECONDS)
