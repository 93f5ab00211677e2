"""Probes: alive while the loop is, ready while the service serves and its database answers."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from service import config as configuration
from service.ops.endpoints import Endpoints, OpsPortUnusable
from service.ops.metrics import Metrics
from service.rpc.server import Server
from service.storage.indexes import CannotMigrate
from tests.client import Client
from tests.rpc.serving import NOBODY_LISTENS, serving
from tests.scrape import get, samples

# The token file is there once it holds a token.
pytestmark = pytest.mark.usefixtures("any_token")


async def test_without_its_database_it_is_alive_and_not_ready(tokens: Path) -> None:
    """Liveness does not follow the database: a restart would not bring that back."""
    flags = {"tokens": tokens, "store_timeout": 0.1, "ops_address": "127.0.0.1:0"}
    async with serving(NOBODY_LISTENS, **flags) as (server, _):
        assert (await get(server.telemetry.ops_address, "/livez")).status == 200
        answer = await get(server.telemetry.ops_address, "/readyz")
        assert (answer.status, answer.facts["reason"]) == (503, "the database does not answer")
        assert (await samples(server.telemetry.ops_address)).of("contactservice_database_up") == 0


async def test_without_its_indexes_it_is_not_ready(mongodb_uri: str, tokens: Path, account: str) -> None:
    """The sentence names the command that helps."""
    async with AsyncMongoClient(mongodb_uri) as client:
        await client[account]["contacts"].insert_one({"_id": "x"})
        flags = {"tokens": tokens, "database": account, "ops_address": "127.0.0.1:0"}
        async with serving(mongodb_uri, **flags) as (server, _):
            answer = await get(server.telemetry.ops_address, "/readyz")
            assert answer.status == 503
            assert "contactservice migrate" in answer.facts["reason"]
            assert (await samples(server.telemetry.ops_address)).of("contactservice_database_up") == 1
        await client.drop_database(account)


async def test_an_index_that_is_lost_is_missed_within_seconds(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """Dropped or restored while it serves: not ready and no writes, until the index is there again."""
    flags = {"tokens": tokens, "database": account, "ops_address": "127.0.0.1:0"}
    async with (
        AsyncMongoClient(mongodb_uri) as mongo,
        serving(mongodb_uri, **flags) as (server, channel),
    ):
        client = Client(channel, any_token, account)
        await client.create(fingerprint="known")
        contacts = mongo[account]["contacts"]
        await contacts.drop_index("account_fingerprint_trusted")
        assert "contactservice migrate" in await readiness(server, 503)
        refused = await client.failure("CreateContact", contact={"fingerprint": "known"})
        assert (refused.code, refused.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        await contacts.drop()
        await readiness(server, 200)
        again = [await client.call("CreateContact", contact={"fingerprint": "known"}) for _ in range(2)]
        assert [answer.created for answer in again] == [True, False]
        await mongo.drop_database(account)


async def test_an_index_in_the_way_is_no_end_of_a_server_that_serves(
    mongodb_uri: str, tokens: Path, account: str
) -> None:
    """A start is refused with the sentence that names it; who has started waits until it is gone."""
    flags = {"tokens": tokens, "database": account, "ops_address": "127.0.0.1:0"}
    keys = [("account", 1), ("fingerprint", 1), ("trusted", 1)]
    async with AsyncMongoClient(mongodb_uri) as mongo:
        contacts = mongo[account]["contacts"]
        async with serving(mongodb_uri, **flags) as (server, _):
            await contacts.drop_indexes()
            await contacts.create_index(keys)
            assert "contactservice migrate" in await readiness(server, 503)
            with pytest.raises(CannotMigrate, match="is not unique; drop it"):
                await start_another(mongodb_uri, flags)
            await contacts.drop_indexes()
            await readiness(server, 200)
        await mongo.drop_database(account)


async def start_another(mongodb_uri: str, flags: dict[str, Any]) -> None:
    server = Server(configuration.load({**flags, "address": "127.0.0.1:0"}), mongodb_uri, lambda: None)
    try:
        await server.start()
    finally:
        await server.stop()


async def readiness(server: Server, status: int) -> str:
    """What it says, once it has this status."""
    async with asyncio.timeout(10):
        while (answer := await get(server.telemetry.ops_address, "/readyz")).status != status:
            await asyncio.sleep(0.02)
    return str(answer.facts)


async def test_a_draining_server_is_alive_and_not_ready(mongodb_uri: str, tokens: Path) -> None:
    """The ops port answers until the drain has ended."""
    flags = {"address": "127.0.0.1:0", "tokens": tokens, "database": "tests", "ops_address": "127.0.0.1:0"}
    server = Server(configuration.load(flags), mongodb_uri, lambda: None)
    await server.start()
    assert (await get(server.telemetry.ops_address, "/readyz")).status == 200
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    assert (await get(server.telemetry.ops_address, "/livez")).status == 200
    answer = await get(server.telemetry.ops_address, "/readyz")
    assert (answer.status, answer.facts["reason"]) == (503, "draining")
    await stopping
    with pytest.raises(OSError, match="refused"):
        await get(server.telemetry.ops_address, "/livez")


async def test_a_taken_ops_port_stops_the_start(mongodb_uri: str, tokens: Path) -> None:
    """With a sentence that names the flag."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        flags = {"address": "127.0.0.1:0", "tokens": tokens, "ops_address": taken}
        server = Server(configuration.load(flags), mongodb_uri, lambda: None)
        with pytest.raises(OpsPortUnusable, match=f"{taken} cannot be bound.*--ops-address"):
            await server.start()
        await server.stop()


@pytest.mark.parametrize("where", ["", "9090", "localhost:x", "127.0.0.1:65536"])
async def test_what_is_no_ops_address_is_named_with_its_flag(where: str) -> None:
    """The sentence has the flag and what was expected."""

    async def nothing() -> Metrics:
        return Metrics()

    async def ready() -> None:
        return None

    with pytest.raises(OpsPortUnusable, match=r"--ops-address .*expected host:port"):
        await Endpoints(ready, nothing).listen(where)


async def test_other_paths_and_methods_are_refused(mongodb_uri: str, tokens: Path) -> None:
    """The port has three pages to read and nothing to change."""
    async with serving(mongodb_uri, tokens=tokens, ops_address="127.0.0.1:0") as (server, _):
        assert (await get(server.telemetry.ops_address, "/")).status == 404
        reader, writer = await asyncio.open_connection(*str(server.telemetry.ops_address).split(":"))
        writer.write(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert b" 405 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
