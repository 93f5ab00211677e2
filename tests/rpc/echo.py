"""A server of one method that returns its request."""

from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

from service.rpc import accepting
from service.rpc.boundary import Behaviour
from service.rpc.health_servicer import HealthServicer

PATH = "/test.Echo/Echo"


async def _echo(request: bytes, _: Any) -> bytes:
    return request


async def started(behaviour: Behaviour = _echo) -> tuple[grpc.aio.Server, str]:
    """The server, with health beside it, and its address."""
    server = accepting.server([], [])
    health = HealthServicer(stall_seconds=30)
    health.set("", HealthCheckResponse.SERVING)
    health.serve(server)
    handlers: dict[str, Any] = {"Echo": grpc.unary_unary_rpc_method_handler(behaviour)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"
