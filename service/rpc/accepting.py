"""A gRPC server that takes calls as fast as they come.

grpc.aio asks its core for one call and, only when that one has come around through two threads and the event
loop, for the next: 64 calls that arrive together are taken one round after the other. Here AHEAD of them are
asked for at any time, and grpc.aio finds the next already there: an echo answers half as many calls again a
second, for two thirds of the processor time (docs/performance.md).

And it waits for each by asyncio.wait, which goes around the loop even for what is there already, and tells of
one call where many have come. Its waiting is replaced by one that takes all that are there: another fifth.

Its search for a call's handler leaves seven objects in a circle with every call, and the garbage collector,
which has to find them, holds everybody up for some 4 ms each time. Ours leaves nothing.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Coroutine, Sequence
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any, TypeAlias

import grpc
from grpc._cython import cygrpc
from grpc.aio._server import Server as AioServer

from service.rpc import waking

AHEAD = 16
# What must be answered at once however many calls wait: gRPC keeps a queue of its own for each of these.
APART = ("/grpc.health.v1.Health/Check",)

Option: TypeAlias = tuple[str, int]
Task: TypeAlias = "asyncio.Task[Any]"


def server(interceptors: Sequence[grpc.aio.ServerInterceptor], options: Sequence[Option]) -> grpc.aio.Server:
    """As `grpc.aio.server(interceptors=..., options=...)` makes it. Needs a running event loop."""
    return _Server(interceptors, options)  # type: ignore[return-value]  # aio's one server, typed by another name


class _Server(AioServer):
    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor], options: Sequence[Option]) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = _Accepting(self._loop, None, (), interceptors, options, None)

    # Stubs add their methods as generic handlers, too. For each registered one gRPC keeps a queue of its own,
    # and waits anew for all of them with every call.
    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        apart = {name: handler for name, handler in handlers.items() if f"/{service}/{name}" in APART}
        super().add_registered_method_handlers(service, apart)


class _Accepting(cygrpc.AioServer):  # type: ignore[misc]  # compiled, without types
    def __init__(self, loop: asyncio.AbstractEventLoop, *arguments: Any) -> None:
        super().__init__(loop, *arguments)
        self._event_loop = loop
        self._ahead: deque[Task] = deque()

    # gRPC's own hook: it is called at the start, and again with each call that was taken.
    def _make_request_call_future(self, registered: bytes | None) -> Task:
        if registered is not None:
            return self._looked_at(self._request_registered_call(registered))
        while len(self._ahead) <= AHEAD:
            self._ahead.append(self._looked_at(self._request_call()))
        return self._ahead.popleft()

    async def shutdown(self, grace: float | None) -> None:
        await super().shutdown(grace)
        await asyncio.gather(*self._ahead, return_exceptions=True)

    def _looked_at(self, asking: Coroutine[Any, Any, Any]) -> Task:
        task = self._event_loop.create_task(asking)
        task.add_done_callback(_look_at)
        return task


def _look_at(task: Task) -> None:
    # Those that still wait when the server stops fail with it: nothing to report.
    if not task.cancelled():
        task.exception()


# Who waits for a task, since the task has been asked to say when it is done.
_waiting: dict[Task, "asyncio.Future[None]"] = {}


async def wait(
    tasks: Collection[Task],
    *,
    timeout: float | None = None,  # noqa: ASYNC109 (as asyncio.wait has it)
    return_when: str = asyncio.ALL_COMPLETED,
) -> tuple[set[Task], set[Task]]:
    """As asyncio.wait; but the first that are done are told of all, and at once when there are any."""
    if return_when != asyncio.FIRST_COMPLETED or timeout is not None:
        return await asyncio.wait(tasks, timeout=timeout, return_when=return_when)
    while not (done := {task for task in tasks if task.done()}):
        waiter = asyncio.get_running_loop().create_future()
        for task in tasks:
            if task not in _waiting:
                task.add_done_callback(_wake)
            _waiting[task] = waiter
        await waiter
    return done, {task for task in tasks if task not in done}


def _wake(task: Task) -> None:
    waiter = _waiting.pop(task)
    if not waiter.done():
        waiter.set_result(None)


async def find_method_handler(
    method: str, metadata: Any, resolver: Any, interceptors: Sequence[grpc.aio.ServerInterceptor]
) -> Any:
    """The handler of a method, as the interceptors before it find it; None if there is none."""

    async def resolved(details: Any) -> Any:
        return resolver.resolve_handler(details)

    ask = resolved
    for interceptor in reversed(interceptors):
        ask = partial(interceptor.intercept_service, ask)
    return await ask(cygrpc._HandlerCallDetails(method, metadata))  # noqa: SLF001 (what gRPC itself passes)


# The server's loop is compiled, and finds these by their names in its module.
if hasattr(cygrpc, "_MethodResolver"):
    cygrpc._find_method_handler = find_method_handler  # noqa: SLF001 (there is no other place)
if hasattr(cygrpc, "_is_async_handler"):
    # It looks at the code of a handler up to three times, with every call.
    cygrpc._is_async_handler = lru_cache(cygrpc._is_async_handler)  # noqa: SLF001
if hasattr(cygrpc, "socket"):
    # It asks for a pair when the first object of grpc.aio is made.
    cygrpc.socket = SimpleNamespace(socketpair=waking.pipe)
cygrpc.asyncio = SimpleNamespace(**{name: getattr(asyncio, name) for name in dir(asyncio)} | {"wait": wait})
