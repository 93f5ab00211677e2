"""How often a write that others keep overtaking is tried, and how long it waits in between."""

import asyncio
import random

# 64 writers on one contact all get their turn; a writer sleeps at most 50 ms between two rounds.
ROUNDS = 64
_LONGEST_PAUSE = 0.05


async def pause(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.001 * 2**attempt)))  # noqa: S311 (jitter)
