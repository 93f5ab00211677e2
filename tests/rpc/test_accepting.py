"""How calls are taken from gRPC: several asked for ahead, none of them left behind."""

import asyncio
import gc
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio

from service.rpc import accepting

PATH = "/test.Echo/Echo"


async def _echo(request: bytes, _: Any) -> bytes:
    return request


async def _started() -> tuple[grpc.aio.Server, str]:
    server = accepting.server([], [])
    checks = aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    handlers: dict[str, Any] = {"Echo": grpc.unary_unary_rpc_method_handler(_echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


def _asked() -> int:
    # Of this server and, in a whole run, of the session's.
    return sum("_request_call" in repr(task) for task in asyncio.all_tasks())


async def test_calls_are_asked_for_ahead() -> None:
    """The next calls are at hand when they come; this fails when a new gRPC has lost the hook for it."""
    before = _asked()
    server, _ = await _started()
    assert _asked() - before >= accepting.AHEAD
    await server.stop(None)


async def test_each_call_is_answered() -> None:
    """Many more calls at once than are asked for ahead: each gets its own answer."""
    server, address = await _started()
    async with grpc.aio.insecure_channel(address) as channel:
        echo = channel.unary_unary(PATH)
        texts = [str(number).encode() for number in range(20 * accepting.AHEAD)]
        assert await asyncio.gather(*(echo(text, timeout=20) for text in texts)) == texts
    await server.stop(None)


async def test_nothing_is_left_of_a_stopped_server() -> None:
    """What was asked for and did not come ends with the server, and nobody hears of it."""
    before = _asked()
    heard: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    server, _ = await _started()
    await server.stop(None)
    del server
    gc.collect()
    loop.set_exception_handler(None)
    assert (_asked() - before, heard) == (0, [])


async def test_a_health_check_does_not_wait_behind_calls() -> None:
    """However many calls came before it and wait for their turn: it has a queue of its own."""
    server, address = await _started()
    answers: list[str] = []
    async with grpc.aio.insecure_channel(address) as channel:

        async def call(method: str, request: bytes) -> None:
            await channel.unary_unary(method)(request, timeout=20)
            answers.append(method)

        before = [call(PATH, b"x") for _ in range(500)]
        await asyncio.gather(*before, call(accepting.APART[0], b""))
    assert answers.index(accepting.APART[0]) < 250
    await server.stop(None)
