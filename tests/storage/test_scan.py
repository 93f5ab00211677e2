"""The scan by itself: what becomes of a reply that was asked for ahead when its reader leaves."""

import asyncio
import gc
from contextlib import aclosing
from typing import Any

import bson

from service.storage.replies import starts_of
from service.storage.scan import scan

FOUND = {"firstBatch": [{"_id": f"ct_{number}"} for number in range(3)], "id": 0, "ns": "tests.contacts"}


async def test_a_reply_that_failed_ahead_of_a_reader_that_leaves_is_nobodys_business() -> None:
    """The event loop reports no forgotten error, whose text would be the driver's."""
    failed = asyncio.Event()
    reported: list[dict[str, Any]] = []

    async def fetch(after: str, _: int) -> bytes:
        if not after:
            return bson.encode(FOUND)
        failed.set()
        raise ValueError("ann@example.com")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    try:
        async with aclosing(scan(fetch, starts_of, lambda reply: reply.slices(1), "", 10)) as parts:
            await anext(parts)
            await failed.wait()
            await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert reported == []
