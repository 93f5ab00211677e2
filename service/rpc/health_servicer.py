"""The health protocol (grpc.health.v1): Check and Watch. Knows statuses, not what they follow from.

grpc_health's own holds a lock while it writes to a watcher, and needs it to set a status: one watcher that
takes nothing would stop everybody who has something to tell.
"""

import asyncio
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from service.domain.errors import InvalidField, ServiceError, Violation
from service.rpc.open_services import Handler, OpenStream, OpenStreams, fitting
from service.rpc.outlet import Context
from service.rpc.status import wire_error

SERVICE = "grpc.health.v1.Health"
# A client that heeds health has one for each of its connections.
_WATCHES = 1024
_WATCHES_OF_CONNECTION = 64


class HealthServicer:
    """Answers with the statuses that were set. Whoever sets one waits for nobody who hears of it."""

    def __init__(self, stall_seconds: float) -> None:
        self._streams = OpenStreams(_WATCHES, _WATCHES_OF_CONNECTION, stall_seconds)
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()

    def serve(self, server: grpc.aio.Server) -> None:
        """Adds both methods to a server that has not started."""
        handlers: dict[str, Handler] = {
            "Check": grpc.unary_unary_rpc_method_handler(
                self._check, None, HealthCheckResponse.SerializeToString
            ),
            "Watch": self._streams.handler(self._watch),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        server.add_registered_method_handlers(SERVICE, handlers)

    def set(self, name: str, status: int) -> None:
        """From now on the status of the service of this name."""
        self._statuses[name] = status
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _check(self, raw: bytes, context: Context) -> Any:
        try:
            return HealthCheckResponse(status=self._statuses[_name(raw)])
        except KeyError:
            aborting = context.abort(grpc.StatusCode.NOT_FOUND)
        except ServiceError as error:
            wire = wire_error(error)
            aborting = context.abort(wire.code, wire.message, wire.trailing_metadata)
        # As in the boundary: the error of gRPC keeps this frame.
        del raw, context
        return await aborting

    async def _watch(self, stream: OpenStream) -> None:
        name = _name(await stream.read() or b"")
        told = None
        while True:
            # Taken before the status is: what changes while it is written is not missed.
            changed = self._changed
            status = self._statuses.get(name, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                await stream.write(HealthCheckResponse(status=status))
                told = status
            await changed.wait()


def _name(raw: bytes) -> str:
    try:
        return str(HealthCheckRequest.FromString(fitting(raw)).service)
    except DecodeError as error:
        rule = f"does not parse as {HealthCheckRequest.DESCRIPTOR.full_name}"
        raise InvalidField(Violation("request", rule)) from error
