"""A server that hands every call on to the real one, and can refuse some or tell lies about exports."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from contactservice.v1 import contact_service_pb2 as pb

Lie = Callable[[pb.ExportContactsResponse], None]
SERVICE = "/contactservice.v1.ContactService/"
HEALTH = "/grpc.health.v1.Health/Watch"


class Between(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Hands bytes on, and failures as they are.

    A method is UNAVAILABLE the first `refusals` times that it is asked for. A `lie` changes the messages of
    an export; one that is empty afterwards is not sent. Its health is the real one's.
    """

    def __init__(self, real: grpc.aio.Channel, refusals: int = 0, lie: Lie | None = None) -> None:
        self.asked: dict[str, int] = {}
        self._real = real
        self._refusals = refusals
        self._lie = lie

    @asynccontextmanager
    async def serve(self, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
        """Serves at the address, and says which it is."""
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([self])
        port = server.add_insecure_port(address)
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a call, as gRPC asks for it."""
        path = handler_call_details.method
        sent = handler_call_details.invocation_metadata
        handed_on = {"metadata": [pair for pair in sent if pair[0] == "authorization"]}

        async def unary(request: bytes, context: Any) -> bytes:
            await self._perhaps_refuse(path, context)
            try:
                return bytes(await self._real.unary_unary(path)(request, **handed_on))
            except grpc.aio.AioRpcError as error:
                trailing = tuple(error.trailing_metadata() or ())
                await context.abort(error.code(), error.details() or "", trailing)
                raise

        async def stream(request: bytes, context: Any) -> None:
            await self._perhaps_refuse(path, context)
            async for message in self._real.unary_stream(path)(request, **handed_on):
                if told := message if path == HEALTH else self._told(message):
                    await context.write(told)

        if path in {HEALTH, f"{SERVICE}ExportContacts"}:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    async def _perhaps_refuse(self, path: str, context: Any) -> None:
        if path == HEALTH:
            return
        method = path.removeprefix(SERVICE)
        self.asked[method] = self.asked.get(method, 0) + 1
        if self.asked[method] <= self._refusals:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "on its way out")

    def _told(self, message: bytes) -> bytes:
        if self._lie is None:
            return message
        told = pb.ExportContactsResponse.FromString(message)
        self._lie(told)
        return told.SerializeToString()
