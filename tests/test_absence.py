"""A database that comes late, dies, stands still or refuses: told, refused fast, and no restart needed."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pymongo import AsyncMongoClient

from service.rpc.server import SERVICE
from tests.client import Client
from tests.fail_points import ObedientMongod, fail_point
from tests.process import ServiceProcess, eventually

pytestmark = pytest.mark.timeout(120)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# What the service promises, from the moment in which the database takes connections again.
RECOVERY_SECONDS = 5


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObedientMongod]:
    """A database that keeps its port from start to start."""
    mongod = ObedientMongod(tmp_path_factory.mktemp("absent"))
    mongod.start()
    yield mongod
    mongod.stop(timeout=0)


class Observer:
    """A client of the service, and a watcher of its readiness."""

    def __init__(self, channel: grpc.aio.Channel, token: str, account: str) -> None:
        self.client = Client(channel, token, account)
        self.contact_id = ""
        self._health = health_pb2_grpc.HealthStub(channel)
        self._watch = self._health.Watch(health_pb2.HealthCheckRequest(service=SERVICE.full_name))

    async def hears(self, status: int, seconds: float = 20) -> None:
        """The next change of readiness is to this."""
        async with asyncio.timeout(seconds):
            assert (await self._watch.read()).status == status

    async def lives(self) -> bool:
        answer = await self._health.Check(health_pb2.HealthCheckRequest())
        return bool(answer.status == SERVING)

    async def is_refused_fast(self) -> None:
        """A hundred calls one after the other: together they take less than four that wait for the driver."""
        async with asyncio.timeout(12):
            for _ in range(50):
                for method, fields in (("GetContact", {"id": self.contact_id}), ("ListContacts", {})):
                    failed = await self.client.failure(method, **fields)
                    assert (failed.code, failed.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")

    async def creates(self) -> None:
        self.contact_id = (await self.client.create(name="Ann")).id


# observed(uri, folder): a service on the database, in a folder of its own where there are several.
Observed: TypeAlias = Callable[..., AbstractAsyncContextManager[tuple[ServiceProcess, Observer]]]


@pytest.fixture
def observed(tmp_path: Path, tokens: Path, any_token: str, account: str) -> Observed:
    """A service on the database of that URI, and who watches it."""

    @asynccontextmanager
    async def observe(uri: str, folder: Path = tmp_path) -> AsyncIterator[tuple[ServiceProcess, Observer]]:
        place = ("--mongodb-uri", uri, "--database", "absence", "--tokens", str(tokens))
        with ServiceProcess(folder, *place, "--store-timeout", "1", "--log-format", "json") as process:
            async with grpc.aio.insecure_channel(process.address) as channel:
                yield process, Observer(channel, any_token, account)

    return observe


def told(process: ServiceProcess) -> list[dict[str, Any]]:
    whole, _, _ = process.log.rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


async def test_a_database_that_comes_after_the_service(mongod: ObedientMongod, observed: Observed) -> None:
    """Without it the service starts, lives, is not ready and refuses fast; once it is there, all is well."""
    uri = mongod.uri
    mongod.stop()
    async with observed(uri) as (process, observer):
        await observer.hears(NOT_SERVING)
        assert await observer.lives()
        async with asyncio.timeout(12):
            for _ in range(100):
                failed = await observer.client.failure("EnsureContact", contact={"name": "Ann"})
                assert (failed.code, failed.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        mongod.start()
        await observer.hears(SERVING, RECOVERY_SECONDS)
        await observer.creates()
        eventually(lambda: "the database answers again" in [line["event"] for line in told(process)])


async def test_a_database_that_is_killed_and_started_again(
    mongod: ObedientMongod, observed: Observed
) -> None:
    """Readiness follows it down and up, liveness stays, and the process is the same."""
    async with observed(mongod.uri) as (_, observer):
        await observer.hears(SERVING)
        await observer.creates()
        os.kill(mongod.pid, signal.SIGKILL)
        await observer.hears(NOT_SERVING)
        assert await observer.lives()
        await observer.is_refused_fast()
        mongod.stop()
        mongod.start()
        await observer.hears(SERVING, RECOVERY_SECONDS)
        assert (await observer.client.get(observer.contact_id)).name == "Ann"


async def test_a_database_that_stands_still(mongod: ObedientMongod, observed: Observed) -> None:
    """Connections stay open and nothing is answered: as good as away, until it moves again."""
    async with observed(mongod.uri) as (_, observer):
        await observer.hears(SERVING)
        await observer.creates()
        os.kill(mongod.pid, signal.SIGSTOP)
        try:
            await observer.hears(NOT_SERVING)
            assert await observer.lives()
            await observer.is_refused_fast()
        finally:
            os.kill(mongod.pid, signal.SIGCONT)
        await observer.hears(SERVING, RECOVERY_SECONDS)
        assert (await observer.client.get(observer.contact_id)).name == "Ann"


@pytest.mark.parametrize("code", [134, 8000])
async def test_a_database_that_refuses_to_be_looked_at(
    code: int, mongod: ObedientMongod, observed: Observed, tmp_path: Path
) -> None:
    """After an election, or with credentials that Atlas does not take: away, and told by its code."""
    failing = {
        "failCommands": ["ping", "listIndexes", "find"],
        "errorCode": code,
        "appName": "contactservice",
    }
    async with observed(mongod.uri) as (process, observer), AsyncMongoClient(mongod.uri) as client:
        await observer.hears(SERVING)
        async with fail_point(client, "failCommand", **failing):
            await observer.hears(NOT_SERVING)
            assert await observer.lives()
            async with observed(mongod.uri, tmp_path / "again") as (_, other):
                await other.hears(NOT_SERVING)
        await observer.hears(SERVING, RECOVERY_SECONDS)
        await observer.creates()
        away = [line for line in told(process) if line["event"] == "the database does not answer"]
        assert away[0]["error"] == f"STORE_UNAVAILABLE (OperationFailure, code {code})"


async def test_a_name_that_is_not_found(observed: Observed) -> None:
    """mongodb+srv is looked up by the first operation, and by the next: the service starts and waits."""
    async with observed("mongodb+srv://contacts.nowhere.invalid/") as (process, observer):
        await observer.hears(NOT_SERVING)
        assert await observer.lives()
        line = await asyncio.to_thread(eventually, lambda: told(process)[:1])
        assert line[0]["error"] == "STORE_UNAVAILABLE (ConfigurationError)"
        assert "nowhere" not in process.log


async def test_an_absence_is_told_in_one_line_per_five_seconds(observed: Observed) -> None:
    """However many calls fail meanwhile: the line says how many; they have none, nor an audit line."""
    async with observed("mongodb://127.0.0.1:9/?replicaSet=rs0") as (process, observer):

        async def storm() -> None:
            while True:
                await observer.client.failure("ListContacts")
                await observer.client.failure("CreateContact")

        callers = [asyncio.create_task(storm()) for _ in range(8)]
        await asyncio.to_thread(eventually, lambda: len(told(process)) >= 3, 30)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        lines = told(process)
        assert {line["event"] for line in lines} <= {"serving", "the database does not answer"}
        away = [line for line in lines if line["event"] != "serving"]
        moments = [datetime.fromisoformat(line["time"]).timestamp() for line in away]
        assert all(later - earlier > 4.9 for earlier, later in pairwise(moments))
        assert away[0]["refused"] == 0
        assert away[-1]["refused"] > 0
