"""Health and reflection, which everybody may call: what callers who mean no good can take of them."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from service.rpc import accepting
from service.rpc.open_services import REQUEST_BYTES, Handler, OpenStream, OpenStreams
from service.rpc.server import SERVICE
from tests.rpc.attacks import ABORTED, OK, OPEN, REFLECTION, RESOURCE_EXHAUSTED, WATCH, stalled, status
from tests.rpc.frames import INITIAL_WINDOW_SIZE, Wire, settings
from tests.rpc.serving import serving
from tests.rpc.test_limits import near
from tests.rpc.wire import Wire as DatabaseWire

# There are credentials. Nobody here sends one.
pytestmark = pytest.mark.usefixtures("any_token")

CHECK, TALK = "/grpc.health.v1.Health/Check", "/test.Open/Talk"
READINESS = HealthCheckRequest(service=SERVICE.full_name)
SYMBOL = ServerReflectionRequest(file_containing_symbol=SERVICE.full_name)
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def test_a_watcher_that_takes_nothing_holds_nobody_up(
    mongodb_uri: str,
    tokens: Path,
) -> None:
    """Readiness goes on following the database, other watchers and checks are told, and the server ends."""
    with ExitStack() as readers:
        async with (
            DatabaseWire(mongodb_uri) as database,
            serving(database.uri, tokens=tokens, store_timeout=0.5, stall_timeout=600.0) as (server, channel),
        ):
            held = partial(opened, str(server.address), WATCH, READINESS.SerializeToString(), 5, readers)
            assert await asyncio.to_thread(held) == {OPEN: 5}
            health = HealthStub(channel)
            watched = health.Watch(READINESS, timeout=30)
            assert (await watched.read()).status == SERVING
            await database.cut()
            assert (await watched.read()).status == NOT_SERVING
            assert (await health.Check(READINESS, timeout=5)).status == NOT_SERVING
            assert server.readiness.why_not == "the database does not answer"
            await database.mend()
            assert (await watched.read()).status == SERVING


def opened(address: str, path: str, content: bytes, count: int, stack: ExitStack) -> Counter[str]:
    """Stalled streams on a connection of their own, which is open as long as the stack."""
    return stalled(stack.enter_context(Wire(address, window=0)), path, content, count)


@pytest.mark.parametrize(
    ("path", "asked", "most", "of_connection"), [(WATCH, READINESS, 1024, 64), (REFLECTION, SYMBOL, 64, 16)]
)
async def test_open_streams_are_bounded(
    mongodb_uri: str, tokens: Path, path: str, asked: Message, most: int, of_connection: int
) -> None:
    """So many of a connection, so many of all; a check is answered all the same, who leaves makes room."""
    content = asked.SerializeToString()
    async with serving(mongodb_uri, tokens=tokens) as (server, channel):
        streams = partial(asyncio.to_thread, opened, str(server.address), path, content)
        with ExitStack() as others, ExitStack() as last:
            for connection in range(most // of_connection):
                ends = await streams(of_connection + 3, last if connection else others)
                assert ends == {OPEN: of_connection, RESOURCE_EXHAUSTED: 3}
            assert await streams(3, last) == {RESOURCE_EXHAUSTED: 3}
            assert (await HealthStub(channel).Check(READINESS, timeout=5)).status == SERVING
            others.close()
            async with asyncio.timeout(10):
                while (await streams(1, last))[OPEN] == 0:
                    pass


@pytest.mark.parametrize("path", [CHECK, WATCH, REFLECTION])
async def test_a_request_of_more_than_4_kib_is_refused(channel: grpc.aio.Channel, path: str) -> None:
    """INVALID_ARGUMENT; one of just that size is answered, as any unknown name is."""
    for size, refused in ((REQUEST_BYTES, False), (REQUEST_BYTES + 1, True), (1_000_000, True)):
        code = await code_of_the_first_answer(channel, path, bytes_of(path, size))
        assert (code is grpc.StatusCode.INVALID_ARGUMENT) == refused
        assert code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND}


@pytest.mark.parametrize("path", [CHECK, WATCH])
@pytest.mark.parametrize("raw", [b"\xff\xff", b"\x0a\x05ab", b"\x0a\x01\xff"])
async def test_what_does_not_parse_is_an_invalid_argument(
    channel: grpc.aio.Channel, path: str, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody fills the log with it."""
    assert await code_of_the_first_answer(channel, path, raw) is grpc.StatusCode.INVALID_ARGUMENT
    assert not caplog.records


async def test_list_is_not_offered(channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture) -> None:
    """UNIMPLEMENTED, and the log is silent."""
    code = await code_of_the_first_answer(channel, "/grpc.health.v1.Health/List", b"")
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert not caplog.records


def bytes_of(path: str, size: int) -> bytes:
    """A request of the method with so many bytes."""
    if path == REFLECTION:
        return ServerReflectionRequest(file_containing_symbol="x" * (size - 3)).SerializeToString()
    return HealthCheckRequest(service="x" * (size - 3)).SerializeToString()


async def code_of_the_first_answer(channel: grpc.aio.Channel, path: str, raw: bytes) -> grpc.StatusCode:
    """OK when there is an answer, else how the call ended."""
    call = channel.stream_stream(path)(iter([raw]), timeout=10)
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        return error.code()
    call.cancel()
    return grpc.StatusCode.OK


async def test_without_memory_reflection_is_refused(
    mongodb_uri: str,
    tokens: Path,
) -> None:
    """RESOURCE_EXHAUSTED from 92 % of the limit on; health is told all the same."""
    async with serving(mongodb_uri, tokens=tokens, memory_limit=2**50) as (server, channel):
        for share, expected in ((0.5, grpc.StatusCode.OK), (1.2, grpc.StatusCode.RESOURCE_EXHAUSTED)):
            near(server.memory, share)
            asked = code_of_the_first_answer(channel, REFLECTION, SYMBOL.SerializeToString())
            assert await asked is expected
        for path in (CHECK, WATCH):
            asked = code_of_the_first_answer(channel, path, READINESS.SerializeToString())
            assert await asked is grpc.StatusCode.OK


@pytest.mark.parametrize(("seconds", "end"), [(600.0, OK), (0.0, ABORTED)])
async def test_a_stalled_reader_keeps_its_place_and_is_written_to_no_more(seconds: float, end: str) -> None:
    """Nobody gets its place before it reads or leaves; when it reads too late, it is told so."""

    async def talk(stream: OpenStream) -> None:
        await stream.write(READINESS)

    address, server = await serving_only(OpenStreams(1, 1, seconds).handler(talk))
    streams = partial(asyncio.to_thread, opened, address, TALK, b"", 1)
    with ExitStack() as readers, Wire(address, window=0) as wire:
        assert await asyncio.to_thread(stalled, wire, TALK, b"") == {OPEN: 1}
        assert await streams(readers) == {RESOURCE_EXHAUSTED: 1}
        wire.send(settings({INITIAL_WINDOW_SIZE: 65535}))
        assert await asyncio.to_thread(status, wire, 1) == end
        assert await streams(readers) == {OPEN: 1}
        readers.close()
        async with asyncio.timeout(10):
            while await streams(readers) != {OPEN: 1}:
                pass
    await server.stop(None)


async def serving_only(handler: Handler) -> tuple[str, grpc.aio.Server]:
    server = accepting.server([], [])
    methods = {"Talk": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Open", methods),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    return address, server
