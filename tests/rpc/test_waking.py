"""How gRPC wakes the event loop: once for all that was done meanwhile."""

import asyncio
import time
from typing import Any

import grpc
import pytest

from service.rpc import waking
from tests.rpc import echo


async def test_one_waking_tells_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gRPC does while the loop is held wakes it once. A new gRPC that does otherwise shows here."""
    taken: list[int] = []
    recv = waking.End.recv

    def counted(end: waking.End, most: int) -> bytes | None:
        there = recv(end, most)
        taken.append(len(there or b""))
        return there

    async def slow(request: bytes, _: Any) -> bytes:
        time.sleep(0.001)  # noqa: ASYNC251 (the loop is to be held)
        return request

    monkeypatch.setattr(waking.End, "recv", counted)
    server, address = await echo.started(slow)
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.gather(*(channel.unary_unary(echo.PATH)(b"x", timeout=20) for _ in range(50)))
    await server.stop(None)
    assert max(taken) >= 10


def test_an_empty_pipe_keeps_nobody() -> None:
    """Of two loops that one byte wakes the later finds nothing, and goes on."""
    ours, theirs = waking.pipe()
    ours.setblocking(False)
    with ours, theirs:
        theirs.write(b"11")
        assert (ours.recv(1), ours.recv(1)) == (b"11", None)
