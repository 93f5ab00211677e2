"""The most that grpc.aio allows: one handler that returns the bytes of its request, and nothing around it."""

from typing import Any

import grpc
import uvloop


async def echo(request: bytes, context: Any) -> bytes:  # noqa: ARG001 (gRPC's signature)
    return request


async def serve() -> None:
    server = grpc.aio.server()
    methods: dict[str, Any] = {"GetContact": grpc.unary_unary_rpc_method_handler(echo)}
    service = grpc.method_handlers_generic_handler("contactservice.v1.ContactService", methods)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
