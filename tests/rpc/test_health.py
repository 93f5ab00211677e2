"""Health as an orchestrator asks it: without a credential, of the process and of the service."""

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service import config as configuration
from service.rpc.server import SERVICE, Server
from tests.client import Client
from tests.rpc.serving import NOBODY_LISTENS, serving
from tests.rpc.wire import Wire

CheckRequest = health_pb2.HealthCheckRequest
Status = health_pb2.HealthCheckResponse
NAME = SERVICE.full_name


@pytest.mark.parametrize("name", ["", NAME])
async def test_a_server_with_its_database_is_serving(channel: grpc.aio.Channel, name: str) -> None:
    """The process and the service are SERVING; nobody has to say who they are."""
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(CheckRequest(service=name))
    assert answer.status == Status.SERVING


@pytest.mark.parametrize("name", ["nobody", "contactservice.v1", NAME + ".GetContact", NAME.lower()])
async def test_an_unknown_service_is_not_found(channel: grpc.aio.Channel, name: str) -> None:
    """NOT_FOUND, as the health protocol has it."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health_pb2_grpc.HealthStub(channel).Check(CheckRequest(service=name))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "metadata", [[("authorization", "Bearer nonsense")], [("x-account-id", "no account")]]
)
async def test_a_wrong_credential_does_not_matter(
    channel: grpc.aio.Channel, metadata: list[tuple[str, str]]
) -> None:
    """Health is open: what is sent beside it is not looked at."""
    answer = await health_pb2_grpc.HealthStub(channel).Check(CheckRequest(service=NAME), metadata=metadata)
    assert answer.status == Status.SERVING


async def test_without_its_database_the_service_is_not_serving(tokens: Path) -> None:
    """The process is up and says so; the service is NOT_SERVING, so no call is sent its way."""
    async with serving(NOBODY_LISTENS, tokens=tokens, store_timeout=0.1) as (_, channel):
        stub = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(CheckRequest(service=NAME))).status == Status.NOT_SERVING
        assert (await stub.Check(CheckRequest())).status == Status.SERVING


async def test_the_service_follows_its_database(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """When the database goes, a watcher hears NOT_SERVING within seconds, and SERVING when it is back.

    Calls meanwhile are told STORE_UNAVAILABLE, and are answered again afterwards.
    """
    async with Wire(mongodb_uri) as wire, serving(wire.uri, tokens=tokens, store_timeout=0.5) as (_, channel):
        client = Client(channel, any_token, account)
        contact = await client.create()
        watched = aiter(health_pb2_grpc.HealthStub(channel).Watch(CheckRequest(service=NAME), timeout=20))
        assert (await anext(watched)).status == Status.SERVING
        await wire.cut()
        async with asyncio.timeout(5):
            assert (await anext(watched)).status == Status.NOT_SERVING
        assert (await client.failure("GetContact", id=contact.id)).reason == "STORE_UNAVAILABLE"
        await wire.mend()
        async with asyncio.timeout(5):
            assert (await anext(watched)).status == Status.SERVING
        assert await client.get(contact.id) == contact


async def test_a_look_that_ends_unexpectedly_is_not_the_last(mongodb_uri: str, tokens: Path) -> None:
    """Not serving while nobody knows how the database is; the process lives, and looks again."""
    failing = False

    def revive() -> None:
        if failing:
            raise RuntimeError("nobody thought of that")

    flags = {"address": "127.0.0.1:0", "tokens": tokens, "database": "tests", "drain_delay": 0.0}
    server = Server(configuration.load(flags), mongodb_uri, revive)
    await server.start()
    async with grpc.aio.insecure_channel(str(server.address)) as channel:
        watched = aiter(health_pb2_grpc.HealthStub(channel).Watch(CheckRequest(service=NAME), timeout=20))
        assert (await anext(watched)).status == Status.SERVING
        failing = True
        assert (await anext(watched)).status == Status.NOT_SERVING
        failing = False
        assert (await anext(watched)).status == Status.SERVING
    await server.stop()


async def test_a_watcher_hears_of_the_end(mongodb_uri: str, tokens: Path) -> None:
    """Watch tells the state at once, and NOT_SERVING when the server begins to stop."""
    async with serving(mongodb_uri, tokens=tokens, drain_timeout=5) as (server, channel):
        watched = aiter(health_pb2_grpc.HealthStub(channel).Watch(CheckRequest(service=NAME), timeout=10))
        assert (await anext(watched)).status == Status.SERVING
        server.readiness.leave()
        assert (await anext(watched)).status == Status.NOT_SERVING


async def test_a_watcher_of_an_unknown_service_waits_for_it(channel: grpc.aio.Channel) -> None:
    """SERVICE_UNKNOWN, and the stream stays open."""
    call = health_pb2_grpc.HealthStub(channel).Watch(CheckRequest(service="nobody"), timeout=10)
    assert (await anext(aiter(call))).status == Status.SERVICE_UNKNOWN
    assert not call.done()
    call.cancel()
