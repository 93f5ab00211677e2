"""Both clients as one thing to await, so that a test says once what both do."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from contactservice import AsyncContactClient, ContactClient


class Either:
    """The methods of a client: `await` gives the result, or a list of what an iteration brings."""

    def __init__(self, client: AsyncContactClient | ContactClient) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.client, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            if isinstance(self.client, ContactClient):
                result = await asyncio.to_thread(method, *arguments, **named)
            else:
                result = method(*arguments, **named)
            if inspect.isawaitable(result):
                return await result
            return await collected(result) if isinstance(result, Iterator | AsyncIterator) else result

        return call

    def within(self, seconds: float | None) -> "Either":
        return Either(self.client.within(seconds))

    def for_account(self, account: str) -> "Either":
        return Either(self.client.for_account(account))

    async def close(self) -> None:
        if isinstance(self.client, ContactClient):
            await asyncio.to_thread(self.client.close)
        else:
            await self.client.close()


async def steps(iteration: Any) -> AsyncIterator[Any]:
    """One element at a time, whichever client it is of."""
    if hasattr(iteration, "__aiter__"):
        async for each in iteration:
            yield each
        return
    iterator = await asyncio.to_thread(iter, iteration)
    while (each := await asyncio.to_thread(next, iterator, None)) is not None:
        yield each


async def collected(iteration: Any) -> list[Any]:
    return [each async for each in steps(iteration)]
