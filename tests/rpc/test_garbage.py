"""What calls leave behind: nothing that only the garbage collector can free, since it holds everybody up."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from grpc._cython import cygrpc

from service.rpc.call import Call
from tests.client import Client

CALLS = 20
# Of each call there is one of these while it lasts.
OF_A_CALL = (Call, cygrpc._ServicerContext, cygrpc._HandlerCallDetails, cygrpc.AbortError)


@pytest.fixture(autouse=True)
def nobody_collects() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left() -> int:
    return sum(type(each) in OF_A_CALL for each in gc.get_objects())


async def exported(client: Client, **fields: Any) -> None:
    async for _ in client.export(**fields):
        pass


OUTCOMES: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "answered": lambda client: client.ensure(fingerprint="u1"),
    "refused": lambda client: client.failure("GetContact", id="ct_0"),
    "not admitted": lambda client: client.failure("GetContact", id=""),
    "streamed": exported,
    "a stream refused": lambda client: client.failure("ExportContacts", resume_token="x"),
}


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
async def test_nothing_is_left_of_a_call(client: Client, outcome: Callable[[Client], Awaitable[Any]]) -> None:
    """However it ended, what was made for it goes with it: errors and frames do not hold each other."""
    for _ in range(CALLS):
        await outcome(client)
    # A client has its answer a moment before the call is over, and the last error stays until the next.
    async with asyncio.timeout(5):
        while left() >= CALLS:
            await asyncio.sleep(0.01)
