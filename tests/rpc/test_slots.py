"""Export slots: four of an account, sixteen of a process, and what the next one is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2

from service.domain.errors import ExportSlotsFull
from service.rpc.server import Server
from service.rpc.slots import Slots
from tests.client import Client
from tests.people import fill
from tests.rpc.serving import serving


async def opened(client: Client) -> grpc.aio.UnaryStreamCall:
    """An export whose first message has been read, and that reads no further."""
    call = client.export()
    await call.read()
    return call


async def test_the_fifth_export_of_an_account_is_told_when_to_come_back(
    server: Server, client: Client, account: str
) -> None:
    """EXPORT_SLOTS_FULL with RetryInfo and pushback; a slot that is free again is given."""
    await fill(server.store, account, count=6000, size=2000)
    calls = [await opened(client) for _ in range(4)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await opened(client)
    trailing = dict(caught.value.trailing_metadata() or ())
    status = status_pb2.Status.FromString(bytes(trailing["grpc-status-details-bin"]))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert info.reason == "EXPORT_SLOTS_FULL"
    assert retry.retry_delay.ToMilliseconds() == int(trailing["grpc-retry-pushback-ms"]) > 0
    for call in calls:
        call.cancel()
    async with asyncio.timeout(1):
        while server.export_slots.taken:
            await asyncio.sleep(0.01)
    (await opened(client)).cancel()


async def test_a_refused_export_takes_no_slot(client: Client) -> None:
    """Calls that are refused for what they ask leave all slots free."""
    for _ in range(6):
        failed = await client.failure("ExportContacts", max_records="-1")
        assert failed.reason == "INVALID_FIELD"


def test_an_account_leaves_slots_to_others() -> None:
    """One account may have its own number only, all together those of the process."""
    slots = Slots(of_account=2, of_process=3)
    slots.take("a")
    slots.take("a")
    with pytest.raises(ExportSlotsFull, match="account"):
        slots.take("a")
    slots.take("b")
    with pytest.raises(ExportSlotsFull, match="replica"):
        slots.take("c")
    for account in ("a", "b", "a"):
        slots.give_back(account)
    assert slots.taken == 0


@pytest_asyncio.fixture
async def patient(mongodb_uri: str, tokens: Path, any_token: str) -> AsyncIterator[Server]:  # noqa: ARG001
    """A server with the usual patience for a reader that takes nothing."""
    async with serving(mongodb_uri, tokens=tokens, database="patient") as (server, _):
        yield server


async def test_gets_are_answered_while_sixteen_exports_stall(
    patient: Server, any_token: str, account: str
) -> None:
    """Readers that take nothing hold no operation and no turn of anybody else."""
    for number in range(4):
        people = await fill(patient.store, f"{account}-{number}", count=6000, size=2000)
    async with AsyncExitStack() as readers:
        for number in range(4):
            stalled = await readers.enter_async_context(grpc.aio.insecure_channel(str(patient.address)))
            for _ in range(4):
                await opened(Client(stalled, any_token, f"{account}-{number}"))
        channel = await readers.enter_async_context(grpc.aio.insecure_channel(str(patient.address)))
        client = Client(channel, any_token, f"{account}-3")
        assert patient.export_slots.taken == 16
        async with asyncio.timeout(5):
            found = await asyncio.gather(*(client.get(contact.id) for contact in people[:200]))
        assert len(found) == 200
        assert patient.export_slots.taken == 16
