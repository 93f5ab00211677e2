"""Two replicas restarted in turn under load: clients that follow the README notice nothing."""

import asyncio
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest

from service.ops.port import bound
from tests.client import Client, request
from tests.process import ServiceProcess, flags

pytestmark = pytest.mark.timeout(180)

README = Path(__file__).parent.parent / "README.md"
CALLS_PER_SECOND = 200


class Load:
    """Calls of all unary kinds at a steady rate, until it is ended; how each went, by its code."""

    def __init__(self, client: Client, contact_id: str) -> None:
        self._client = client
        self._requests = [
            ("GetContact", request("GetContact", id=contact_id)),
            ("EnsureContact", request("EnsureContact", contact={"email": "ann@example.com"})),
            ("UpdateContact", request("UpdateContact", contact={"id": contact_id, "nickname": "Ann"})),
            ("ListContacts", request("ListContacts", page_size=1)),
        ]
        self._calls: set[asyncio.Task[None]] = set()
        self.codes: Counter[str] = Counter()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        pace = asyncio.create_task(self._keep_pace())
        yield
        pace.cancel()
        await asyncio.gather(*self._calls)

    async def answered(self, more: int) -> None:
        wanted = self.codes.total() + more
        async with asyncio.timeout(60):
            while self.codes.total() < wanted:
                await asyncio.sleep(0.02)

    async def _keep_pace(self) -> None:
        # By the clock, not by the answers: as calls come from many who know nothing of each other.
        clock = asyncio.get_running_loop().time
        started, number = clock(), 0
        while True:
            due = int((clock() - started) * CALLS_PER_SECOND)
            while number < due:
                call = asyncio.create_task(self._call(number))
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)
                number += 1
            await asyncio.sleep(0.005)

    async def _call(self, number: int) -> None:
        method, message = self._requests[number % len(self._requests)]
        try:
            await self._client.unary(method)(message, metadata=self._client.metadata, timeout=20)
        except grpc.aio.AioRpcError as error:
            self.codes[f"{method} {error.code().name} {error.details()}"] += 1
        else:
            self.codes["OK"] += 1


def documented_policy() -> str:
    [text] = re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL)
    return str(text)


def fixed_port() -> int:
    with bound("127.0.0.1", 0) as holder:
        return int(holder.getsockname()[1])


async def test_a_rolling_restart_fails_no_call(
    tmp_path: Path, mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """200 calls a second with the service config of the README, both restarted in turn: all are answered."""
    addresses = [f"127.0.0.1:{fixed_port()}" for _ in range(2)]
    replicas = [
        ServiceProcess(
            tmp_path / str(number),
            *flags(mongodb_uri, tokens),
            *("--address", address, "--drain-delay", "1"),
        )
        for number, address in enumerate(addresses)
    ]
    options = [("grpc.service_config", documented_policy())]
    with ExitStack() as running:
        for replica in replicas:
            running.enter_context(replica)
        async with grpc.aio.insecure_channel(f"ipv4:{','.join(addresses)}", options=options) as channel:
            client = Client(channel, any_token, account)
            load = Load(client, (await client.create()).id)
            async with load.running():
                await load.answered(CALLS_PER_SECOND)
                for replica in replicas:
                    replica.process.send_signal(signal.SIGTERM)
                    assert await asyncio.to_thread(replica.process.wait, 40) == 0
                    await asyncio.to_thread(replica.__enter__)
                    await load.answered(CALLS_PER_SECOND)
    assert load.codes.keys() == {"OK"}
    assert load.codes.total() > 5 * CALLS_PER_SECOND
    assert all(replica.log.count("method=") > CALLS_PER_SECOND for replica in replicas)
