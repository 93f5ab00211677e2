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


async def exported_ids(client: Client, seen: asyncio.Event) -> list[str]:
    data = b""
    async for message in client.export():
        data += message.data
        seen.set()
        # Slow enough for the others to come in between.
        await asyncio.sleep(0.002)
        complete = message.summary.complete
    assert complete
    return [json.loads(line)["id"] for line in data.splitlines()]


async def churn(client: Client, stop: asyncio.Event, stable: list[str]) -> None:
    """Creates, updates and deletes without a pause; the stable contacts are updated, but stay."""
    number = 0
    while not stop.is_set():
        number += 1
        created = await client.create(name=f"passing {number}")
        await client.update({"id": stable[number * 37 % len(stable)], "metadata": {"turn": number}})
        await client.update({"id": created.id, "name": "changed"})
        await client.call("DeleteContact", id=created.id)


@pytest.mark.parametrize("round_number", range(3))
async def test_what_exists_throughout_appears_exactly_once(
    round_number: int, server: Server, client: Client, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others are created, updated and deleted at a high rate, no stable contact is lost or doubled."""
    monkeypatch.setattr(limits, "EXPORT_MESSAGE_BYTES", 2_000 * (round_number + 1))
    stable = [contact.id for contact in await fill(server.store, account, count=1500)]
    seen, stop = asyncio.Event(), asyncio.Event()
    writers = [asyncio.create_task(churn(client, stop, stable)) for _ in range(4)]
    found = Counter(await exported_ids(client, seen))
    stop.set()
    await asyncio.gather(*writers)
    assert {found[contact_id] for contact_id in stable} == {1}
    assert max(found.values()) == 1


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
