"""How calls are taken from gRPC: several asked for ahead, none of them left behind."""

import asyncio
import gc
import time
from typing import Any

import grpc
from grpc._cython import cygrpc

from service.rpc import accepting
from tests.rpc import echo


def _asked() -> int:
    # Of this server and, in a whole run, of the session's.
    return sum("_request_call" in repr(task) for task in asyncio.all_tasks())


async def test_calls_are_asked_for_ahead() -> None:
    """The next calls are at hand when they come; this fails when a new gRPC has lost the hook for it."""
    before = _asked()
    server, _ = await echo.started()
    assert _asked() - before >= accepting.AHEAD
    await server.stop(None)


async def test_each_call_is_answered() -> None:
    """Many more calls at once than are asked for ahead: each gets its own answer."""
    server, address = await echo.started()
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(echo.PATH)
        texts = [str(number).encode() for number in range(20 * accepting.AHEAD)]
        assert await asyncio.gather(*(call(text, timeout=20) for text in texts)) == texts
    await server.stop(None)


async def test_what_a_handler_is_is_looked_at_once() -> None:
    """Not with every call; this fails when a new gRPC asks in another way."""
    server, address = await echo.started()
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.unary_unary(echo.PATH)(b"x", timeout=20)
        before = cygrpc._is_async_handler.cache_info()
        for _ in range(5):
            await channel.unary_unary(echo.PATH)(b"x", timeout=20)
        after = cygrpc._is_async_handler.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (0, 5)
    await server.stop(None)


async def test_nothing_is_left_of_a_stopped_server() -> None:
    """What was asked for and did not come ends with the server, and nobody hears of it."""
    before = _asked()
    heard: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    server, _ = await echo.started()
    await server.stop(None)
    del server
    gc.collect()
    loop.set_exception_handler(None)
    assert (_asked() - before, heard) == (0, [])


async def test_a_health_check_does_not_wait_behind_calls() -> None:
    """However many calls came before it and wait to be taken: it has a queue of its own.

    Each call that is taken holds the loop for a moment, so that all are sent long before the last is taken.
    """
    taken: list[bytes] = []

    async def slow(request: bytes, _: Any) -> bytes:
        taken.append(request)
        time.sleep(0.001)  # noqa: ASYNC251 (the loop is to be held)
        return request

    server, address = await echo.started(slow)
    async with grpc.aio.insecure_channel(address) as channel:
        # Connected: from here on calls arrive in the order in which they are sent.
        await channel.unary_unary(echo.PATH)(b"x", timeout=20)
        before = [asyncio.ensure_future(channel.unary_unary(echo.PATH)(b"x", timeout=20)) for _ in range(500)]
        await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
        assert len(taken) < len(before)
        await asyncio.gather(*before)
    await server.stop(None)


async def _never() -> None:
    await asyncio.Event().wait()


async def _value(number: int) -> int:
    return number


async def test_all_that_are_done_are_told_of_at_once() -> None:
    """Without a turn of the loop, in which something else could have been done."""
    loop = asyncio.get_running_loop()
    done, rest = [loop.create_task(_value(1)), loop.create_task(_value(2))], loop.create_task(_never())
    await asyncio.gather(*done)
    turns: list[int] = []
    loop.call_soon(turns.append, 1)
    answer = await accepting.wait([*done, rest], return_when=asyncio.FIRST_COMPLETED)
    assert (answer, turns) == (({*done}, {rest}), [])
    rest.cancel()


async def test_two_that_wait_are_woken_by_their_own() -> None:
    """Servers in one process wait beside each other, each again and again for what it asked for."""
    loop = asyncio.get_running_loop()
    events = [asyncio.Event(), asyncio.Event()]
    tasks = [loop.create_task(event.wait()) for event in events]
    others = [loop.create_task(_never()) for _ in events]

    async def first(number: int) -> tuple[set[Any], set[Any]]:
        return await accepting.wait([tasks[number], others[number]], return_when=asyncio.FIRST_COMPLETED)

    waits = [loop.create_task(first(number)) for number in (0, 1)]
    events[1].set()
    assert await waits[1] == ({tasks[1]}, {others[1]})
    assert not waits[0].done()
    again = loop.create_task(accepting.wait([others[1]], return_when=asyncio.FIRST_COMPLETED))
    events[0].set()
    assert await waits[0] == ({tasks[0]}, {others[0]})
    for other in others:
        other.cancel()
    assert await again == ({others[1]}, set())


async def test_a_cancelled_wait_leaves_what_it_waited_for() -> None:
    """A server that is stopped takes nothing with it, and who waits next is woken."""
    event = asyncio.Event()
    task = asyncio.create_task(event.wait())
    wait = asyncio.create_task(accepting.wait([task], return_when=asyncio.FIRST_COMPLETED))
    await asyncio.sleep(0)
    wait.cancel()
    await asyncio.gather(wait, return_exceptions=True)
    assert not task.cancelled()
    event.set()
    assert await accepting.wait([task], return_when=asyncio.FIRST_COMPLETED) == ({task}, set())


async def test_other_waits_are_those_of_asyncio() -> None:
    """What else gRPC may wait for is waited for as ever."""
    tasks = [asyncio.create_task(_value(number)) for number in range(3)]
    assert await accepting.wait(tasks) == ({*tasks}, set())
    assert await accepting.wait(tasks, timeout=1, return_when=asyncio.FIRST_COMPLETED) == ({*tasks}, set())


async def test_grpc_waits_so() -> None:
    """A new gRPC that waits for its calls in another way shows here."""
    server, address = await echo.started()
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.unary_unary(echo.PATH)(b"x", timeout=20)
    assert any("_request_call" in repr(task) for task in accepting._waiting)
    before = len(accepting._waiting)
    await server.stop(None)
    assert len(accepting._waiting) < before
