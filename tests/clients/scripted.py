"""A service that answers as a test says, for answers that the real one gives only on bad days."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from contactservice.v1 import contact_service_pb2 as pb
from service.domain.errors import ServiceError
from service.rpc.status import wire_error
from tests.clients.either import Either

SERVICE = pb.DESCRIPTOR.services_by_name["ContactService"]


class Scripted:
    """`answers` are given one after the other: a message, a list of messages, or an error after these."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []

    def note(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        return self.answers.pop(0)

    async def unary(self, request: Any, context: Any) -> Any:
        answer = self.note(request, context)
        return await fail(answer, context) if isinstance(answer, Exception) else answer

    async def stream(self, request: Any, context: Any) -> None:
        for answer in self.note(request, context):
            await (fail(answer, context) if isinstance(answer, Exception) else context.write(answer))


async def fail(error: Any, context: Any) -> None:
    """As the service itself tells its errors; another one is a bare UNAVAILABLE."""
    if isinstance(error, ServiceError):
        wire = wire_error(error)
        await context.abort(wire.code, wire.message, wire.trailing_metadata)
    await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))


@asynccontextmanager
async def scripted(kind: Any, *answers: Any, **settings: Any) -> AsyncIterator[tuple[Scripted, Either]]:
    """The service, and a client of it."""
    script = Scripted(*answers)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE.full_name, handlers(script)),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    contacts = Either(kind(f"127.0.0.1:{port}", token="secret", insecure=True, **settings))
    try:
        yield script, contacts
    finally:
        await contacts.close()
        await server.stop(None)


def handlers(script: Scripted) -> dict[str, grpc.RpcMethodHandler]:
    def handler(method: Any) -> grpc.RpcMethodHandler:
        read: Callable[[bytes], Any] = getattr(pb, method.input_type.name).FromString
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(
                script.stream, read, lambda each: each.SerializeToString()
            )
        return grpc.unary_unary_rpc_method_handler(script.unary, read, lambda each: each.SerializeToString())

    return {method.name: handler(method) for method in SERVICE.methods}
