"""What gRPC is told to allow: many calls on one connection, and one server on a port."""

import asyncio

import grpc
import pytest

from contactservice.v1.contact_service_pb2 import GetContactResponse
from service.rpc.options import METADATA_BYTES, STREAMS_OF_CONNECTION
from service.rpc.server import Server
from tests.client import Client, request
from tests.rpc.frames import Wire

MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE = 0x3, 0x6


async def test_256_calls_on_one_connection_are_all_answered(client: Client) -> None:
    """Again and again: none is refused because streams of ended calls are still counted."""
    contact = await client.create()
    get = request("GetContact", id=contact.id)

    async def calls() -> list[GetContactResponse]:
        call = client.stub.GetContact
        return [await call(get, metadata=client.metadata, timeout=20) for _ in range(10)]

    answers = await asyncio.gather(*(calls() for _ in range(256)))
    assert all(answer.contact == contact for each in answers for answer in each)


async def test_a_client_is_told_how_many_calls_a_connection_carries(server: Server) -> None:
    """1,000, and 16 KiB of metadata: clients that keep to it are not refused."""
    told = await asyncio.to_thread(settings, str(server.address))
    assert told[MAX_CONCURRENT_STREAMS] == STREAMS_OF_CONNECTION == 1000
    assert told[MAX_HEADER_LIST_SIZE] == METADATA_BYTES == 16 * 1024


def settings(address: str) -> dict[int, int]:
    with Wire(address) as wire:
        return wire.settings


@pytest.mark.parametrize("kib", [15, 17])
async def test_metadata_have_16_kib(client: Client, kib: int) -> None:
    """Below they are taken, above refused, at every call alike."""
    for _ in range(4):
        call = client.stub.ListContacts(
            request("ListContacts"), metadata=[*client.metadata, ("x-more", "y" * kib * 1024)], timeout=20
        )
        refused = await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused == (kib > 15)
