"""What only the program in Go has: code that Go's own tools like, and an ear for health."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from tests.clients.between import HEALTH, Between
from tests.clients.program import GO, build_go, done, needed, said_by

pytestmark = pytest.mark.timeout(300)


class Recovering(Between):
    """Not healthy when it is asked for the first time, and healthy from `recovered` on."""

    def __init__(self, real: grpc.aio.Channel) -> None:
        super().__init__(real)
        self.watched: asyncio.Queue[str] = asyncio.Queue()
        self.recovered = asyncio.Event()

    def service(self, handler_call_details: Any) -> Any:
        """Watching health, and all else as ever."""
        if handler_call_details.method == HEALTH:
            return grpc.unary_stream_rpc_method_handler(self._watch)
        return super().service(handler_call_details)

    async def _watch(self, request: bytes, context: Any) -> None:
        self.watched.put_nowait(HealthCheckRequest.FromString(request).service)
        for status in (HealthCheckResponse.NOT_SERVING, HealthCheckResponse.SERVING):
            await context.write(HealthCheckResponse(status=status).SerializeToString())
            await self.recovered.wait()


def test_the_code_is_as_go_has_it() -> None:
    """Formatted, and nothing in it that `go vet` doubts."""
    needed("go")
    needed("gofmt")
    assert done("gofmt", "-l", ".", cwd=GO) == ""
    assert done("go", "vet", "./...", cwd=GO) == ""


async def test_a_replica_that_is_not_healthy_is_not_called(channel: grpc.aio.Channel, token: str) -> None:
    """The program follows the health of the service by its name, and calls once it is SERVING."""
    program = build_go()
    recovering = Recovering(channel)
    async with recovering.serve() as address:
        running = asyncio.create_task(program.run(address, token))
        async with asyncio.timeout(20):
            assert await recovering.watched.get() == "contactservice.v1.ContactService"
        assert recovering.asked == {}
        recovering.recovered.set()
        said_by(await running)
