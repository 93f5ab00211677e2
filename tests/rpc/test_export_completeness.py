"""What an export holds: every contact that exists throughout, once; and no broken stream looks whole."""

import asyncio
import json
from collections import Counter
from typing import Any

import grpc
import pytest

from service.domain import limits
from service.rpc.server import Server
from service.storage.finder import Finder
from tests.client import Client
from tests.people import fill

pytestmark = pytest.mark.usefixtures("each_way")


class Churn:
    """Creates, updates and deletes without a pause; the stable contacts are updated, but stay."""

    def __init__(self, client: Client, stable: list[str]) -> None:
        self.turns = 0
        self._client = client
        self._stable = stable
        self._turned = asyncio.Event()

    async def follow(self) -> None:
        while True:
            self.turns += 1
            created = await self._client.create(name=f"passing {self.turns}")
            stable = self._stable[self.turns * 37 % len(self._stable)]
            await self._client.update({"id": stable, "metadata": {"turn": self.turns}})
            await self._client.update({"id": created.id, "name": "changed"})
            await self._client.call("DeleteContact", id=created.id)
            self._turned.set()

    async def goes_on(self) -> None:
        """Until another turn of a writer has ended."""
        self._turned.clear()
        await self._turned.wait()


async def exported(client: Client) -> list[dict[str, Any]]:
    messages = [message async for message in client.export()]
    assert messages[-1].summary.complete
    return [json.loads(line) for message in messages for line in message.data.splitlines()]


@pytest.mark.parametrize("round_number", range(3))
async def test_what_exists_throughout_appears_exactly_once(
    round_number: int, server: Server, client: Client, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others come, change and go before each reply of the database, none is lost or doubled."""
    monkeypatch.setattr(limits, "EXPORT_MESSAGE_BYTES", 2_000 * (round_number + 1))
    stable = [contact.id for contact in await fill(server.store, account, count=1500)]
    churn = Churn(client, stable)
    asked, turns = Finder._asked, []

    async def amid_churn(*arguments: Any) -> bytes:
        await churn.goes_on()
        turns.append(churn.turns)
        return await asked(*arguments)

    monkeypatch.setattr(Finder, "_asked", amid_churn)
    writers = [asyncio.create_task(churn.follow()) for _ in range(4)]
    records = await exported(client)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    found = Counter(record["id"] for record in records)
    assert {found[contact_id] for contact_id in stable} == {1}
    assert max(found.values()) == 1
    assert len(turns) > 3
    assert turns == sorted(set(turns))
    assert any("turn" in record["metadata"] for record in records)


async def test_a_stream_that_fails_has_a_status_and_no_summary(
    server: Server, client: Client, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When reading breaks in the middle the client gets an error, never an end that looks like one."""
    await fill(server.store, account, count=3000, size=500)
    asked, calls = Finder._asked, 0

    async def breaking(*arguments: Any) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("broken")
        return await asked(*arguments)

    monkeypatch.setattr(Finder, "_asked", breaking)
    messages = []

    async def read() -> None:
        async for message in client.export():
            messages.append(message)  # noqa: PERF401 (what came before the error is looked at)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read()
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert len(messages) > 1
    assert not any(message.HasField("summary") for message in messages)
