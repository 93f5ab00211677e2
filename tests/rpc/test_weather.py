"""What a call is told when its caller leaves, its time is up, or the database is slow, away or to be left."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc.error_details_pb2 import RetryInfo
from pymongo.uri_parser import parse_uri

from service.rpc.server import SERVICE, Server
from service.storage.gate import SLOTS
from tests.client import Client, request
from tests.rpc.refusal import refusal
from tests.rpc.serving import NOBODY_LISTENS, serving
from tests.storage.proxy import proxied

METHODS = [method.name for method in SERVICE.methods]
# Good requests that need the database; the id stands for one of the account.
GOOD: dict[str, Callable[[str], dict[str, Any]]] = {
    "CreateContact": lambda _: {},
    "EnsureContact": lambda _: {"contact": {"name": "Ann"}},
    "GetContact": lambda contact_id: {"id": contact_id},
    "UpdateContact": lambda contact_id: {"contact": {"id": contact_id, "name": "Bob"}},
    "DeleteContact": lambda contact_id: {"id": contact_id},
    "ListContacts": lambda _: {},
    "ExportContacts": lambda _: {},
    "BatchGetContacts": lambda contact_id: {"ids": [contact_id]},
    "BatchEnsureContacts": lambda _: {"contacts": [{"name": "Ann"}]},
    "BatchDeleteContacts": lambda contact_id: {"ids": [contact_id]},
    "CountContacts": lambda _: {},
    "PurgeContacts": lambda _: {"filter": {"trusted": True}, "force": True},
    "WatchContacts": lambda _: {},
    "ImportContacts": lambda _: {"contacts": [{"name": "Ann"}]},
}


class Waiting:
    """A server whose operations get no turn, as if the database were busy with others."""

    def __init__(self, server: Server, client: Client, contact_id: str) -> None:
        self.server = server
        self.client = client
        self.contact_id = contact_id

    def call(self, method: str, timeout: float | None = None) -> Any:
        message = request(method, **GOOD[method](self.contact_id))
        return self.client.unary(method)(message, metadata=self.client.metadata, timeout=timeout)

    @property
    def under_way(self) -> int:
        return self.server._boundary._calls


async def until(condition: Callable[[], bool], seconds: float = 1.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest_asyncio.fixture(scope="module")
async def busy(mongodb_uri: str, tokens: Path, any_token: str) -> AsyncIterator[Waiting]:
    async with serving(mongodb_uri, tokens=tokens, store_timeout=1.0) as (server, channel):
        client = Client(channel, any_token, "weather-busy")
        contact = await client.create()
        await client.list()
        for _ in range(SLOTS):
            await server.store._gate._slots.acquire()
        yield Waiting(server, client, contact.id)
        for _ in range(SLOTS):
            server.store._gate._slots.release()


@pytest_asyncio.fixture(scope="module")
async def away(tokens: Path, any_token: str) -> AsyncIterator[Client]:
    async with serving(NOBODY_LISTENS, tokens=tokens, store_timeout=0.1) as (_, channel):
        yield Client(channel, any_token, "weather-away")


def test_every_rpc_has_a_good_request() -> None:
    """A new RPC has to be added here."""
    assert GOOD.keys() == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
async def test_a_client_that_leaves_ends_its_call(
    busy: Waiting, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """A cancelled call is over on the server at once, and its log line says CANCELLED, not an error."""
    caplog.set_level(logging.INFO, "service")
    call = busy.call(method)
    await until(lambda: busy.under_way == 1)
    call.cancel()
    await until(lambda: busy.under_way == 0, 0.7)
    [line] = [record for record in caplog.records if record.getMessage() == "call"]
    assert (line.__dict__["method"], line.__dict__["code"]) == (method, "CANCELLED")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("method", METHODS)
async def test_a_deadline_of_the_client_ends_its_call(busy: Waiting, method: str) -> None:
    """DEADLINE_EXCEEDED by gRPC, without details, and the server does not work on."""
    answer = await refusal(busy.call(method, timeout=0.1))
    assert (answer.code, answer.details) == ("DEADLINE_EXCEEDED", b"")
    await until(lambda: busy.under_way == 0, 0.7)


async def test_a_database_that_is_slow(busy: Waiting) -> None:
    """DEADLINE_EXCEEDED STORE_TIMEOUT after the service's own patience, while the client would still wait."""
    answers = await asyncio.gather(*(refusal(busy.call(method, timeout=20)) for method in METHODS))
    assert {(answer.code, answer.reason) for answer in answers} == {("DEADLINE_EXCEEDED", "STORE_TIMEOUT")}


@pytest.mark.parametrize("method", METHODS)
async def test_a_database_that_is_away(away: Client, client: Client, method: str) -> None:
    """UNAVAILABLE STORE_UNAVAILABLE with the time to wait, and nothing of driver, host or index."""
    client.metadata[1] = away.metadata[1]
    message = request(method, **GOOD[method]((await client.create()).id))
    answer = await refusal(away.unary(method)(message, metadata=away.metadata, timeout=20))
    assert (answer.code, answer.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
    retry = answer.detail(RetryInfo)
    assert retry is not None
    assert 0 < retry.retry_delay.ToMilliseconds() <= 60_000
    assert not any(word in answer.message for word in ("127.0.0.1", "mongodb://", "Topology", "refused"))
    assert "migrate" not in answer.message, "nobody knows yet whether an index is missing"


async def test_bad_requests_are_told_while_the_database_is_away(away: Client) -> None:
    """What is wrong with a request is known without the database."""
    assert (await away.failure("GetContact", id="")).reason == "INVALID_FIELD"
    assert (await away.failure("GetContact", id="nonsense")).reason == "CONTACT_NOT_FOUND"
    assert (await away.failure("CreateContact", contact={"name": "x" * 257})).reason == "INVALID_FIELD"
    assert (await away.failure("EnsureContact")).reason == "NO_IDENTITY"


async def test_a_server_that_leaves(mongodb_uri: str, tokens: Path, any_token: str, account: str) -> None:
    """While it drains, new calls of every kind have UNAVAILABLE SHUTTING_DOWN with a short time to wait."""
    async with serving(mongodb_uri, tokens=tokens) as (server, channel):
        client = Client(channel, any_token, account)
        contact = await client.create()
        await server._boundary.drain()
        for method in METHODS:
            message = request(method, **GOOD[method](contact.id))
            answer = await refusal(client.unary(method)(message, metadata=client.metadata))
            assert (answer.code, answer.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
            retry = answer.detail(RetryInfo)
            assert retry is not None
            assert 0 < retry.retry_delay.ToMilliseconds() <= 1000


async def test_calls_under_way_outlive_the_drain(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """An export that began before the server stops is still delivered to its summary."""
    async with serving(mongodb_uri, tokens=tokens, drain_timeout=20) as (server, channel):
        client = Client(channel, any_token, account)
        for _ in range(5):
            await client.create()
        messages = aiter(client.export())
        await anext(messages)
        draining = asyncio.create_task(server._boundary.drain())
        *_, last = [message async for message in messages]
        assert last.summary.complete
        assert last.summary.records == 5
        await draining


async def test_a_storm_of_leaving_clients_harms_nobody(client: Client, server: Server) -> None:
    """Hundreds of calls that are cancelled at any moment, and then every call is answered as before."""
    contact = await client.create(name="Ann")
    for turn in range(10):
        calls: list[grpc.aio.Call] = []
        for number in range(40):
            method = METHODS[number % len(METHODS)]
            if method in {"DeleteContact", "BatchDeleteContacts"}:
                continue
            message = request(method, **GOOD[method](contact.id))
            calls.append(client.unary(method)(message, metadata=client.metadata))
        await asyncio.sleep(0.002 * turn)
        for call in calls:
            call.cancel()
    async with asyncio.timeout(5):
        assert (await client.get(contact.id)).name in {"Ann", "Bob"}
        assert (await client.ensure(name="Ann"))[0].name == "Ann"
    await until(lambda: not server._boundary._calls, 5)
    assert server.export_slots.taken == server.watch_slots.taken == 0


async def test_a_path_that_dies_is_given_up_by_the_store_timeout(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """A second later nothing waits on it any more: the slots are there for a primary that is elected."""
    _, port = parse_uri(mongodb_uri)["nodelist"][0]
    async with proxied(port) as (proxy, door):
        uri = f"mongodb://127.0.0.1:{door}/?directConnection=true"
        async with serving(uri, tokens=tokens, store_timeout=0.5) as (server, channel):
            client = Client(channel, any_token, account)
            contact = await client.create()
            proxy.is_dead = True
            assert (await client.failure("GetContact", id=contact.id)).reason == "STORE_TIMEOUT"
            async with asyncio.timeout(3):
                await server.store.gate.drained()
            proxy.is_dead = False
            await until(lambda: server.readiness.answers, 10)
            assert await client.get(contact.id) == contact
