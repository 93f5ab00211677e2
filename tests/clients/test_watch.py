"""Watches through the clients: every change, also over breaks, until one leaves or a token is too old."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contactservice import CallerRefused, ResumeTokenExpired
from contactservice.v1 import contact_service_pb2 as pb
from service.domain.errors import ReaderStalled, ScopeMissing, ShuttingDown, StoreTimeout
from service.rpc.server import Server
from tests.client import Client
from tests.clients.either import Either, steps
from tests.clients.scripted import scripted
from tests.rpc.serving import serving
from tests.storage.proxy import proxied

CREATED, UPDATED, DELETED = pb.CHANGE_KIND_CREATED, pb.CHANGE_KIND_UPDATED, pb.CHANGE_KIND_DELETED


def message(number: int) -> pb.WatchContactsResponse:
    return pb.WatchContactsResponse(change={"id": f"ct_{number}"}, resume_token=f"after {number}")


async def begun(stream: AsyncIterator[Any]) -> str:
    """The token of the first message, after which nothing can be missed."""
    first = await anext(stream)
    assert first.HasField("heartbeat")
    return str(first.resume_token)


async def told(stream: AsyncIterator[Any], contact_id: str) -> list[Any]:
    """The changes until the first one of this contact, with it."""
    found: list[Any] = []
    async with asyncio.timeout(30):
        while not (found and found[-1].id == contact_id):
            message = await anext(stream)
            found += [message.change] if message.HasField("change") else []
    return found


async def test_what_happens_is_told(contacts: Either, client: Client) -> None:
    """Each change as a message, and the watch knows the token of the last one."""
    watch = contacts.client.watch(metadata={"plan": "pro"})
    stream = steps(watch)
    assert await begun(stream) == watch.resume_token
    await client.create(name="Bob")
    contact = await client.create(name="Ann", metadata={"plan": "pro"})
    [born] = await told(stream, contact.id)
    assert (born.kind, born.contact, born.matches) == (CREATED, contact, True)
    token = watch.resume_token
    await client.update({"id": contact.id, "metadata": {"plan": "free"}})
    [changed] = await told(stream, contact.id)
    assert (changed.kind, changed.matches) == (UPDATED, False)
    await stream.aclose()
    again = steps(contacts.client.watch(metadata={"plan": "pro"}, resume_token=token))
    assert [each.kind for each in await told(again, contact.id)] == [UPDATED]
    await again.aclose()


async def test_a_watch_goes_on_where_an_export_began(contacts: Either, client: Client) -> None:
    """With the `watch_token` of its proven summary."""
    kept = await client.create(name="Ann")
    export = contacts.client.export(format="CONTACTS")
    copy = {each.id async for each in steps(export.contacts())}
    await client.call("DeleteContact", id=kept.id)
    stream = steps(contacts.client.watch(resume_token=export.proven().watch_token))
    assert (copy, (await told(stream, kept.id))[-1].kind) == ({kept.id}, DELETED)
    await stream.aclose()


async def test_a_broken_connection_loses_no_change(
    kind: Any, server: Server, any_token: str, account: str, client: Client
) -> None:
    """Cut between two changes, the watch goes on by itself: each comes at least once, in order."""
    async with proxied(server.address.port) as (proxy, port):
        contacts = Either(kind(f"127.0.0.1:{port}", token=any_token, account=account, insecure=True))
        stream = steps(contacts.client.watch())
        await begun(stream)
        made, seen = [], []
        for _ in range(3):
            made += [(await client.create(name=str(number))).id for number in range(3)]
            seen += await told(stream, made[-2])
            proxy.cut()
        last = await client.create(name="last")
        seen += await told(stream, last.id)
        assert list(dict.fromkeys(each.id for each in seen)) == [*made, last.id]
        await stream.aclose()
        await contacts.close()


@pytest.mark.parametrize(
    "end", [[ShuttingDown()], [ReaderStalled(30)], [StoreTimeout()], [OSError("reset")], []], ids=repr
)
async def test_a_break_is_followed_by_the_last_token(kind: Any, end: list[Exception]) -> None:
    """Also when a proxy ends the stream without an error."""
    async with scripted(kind, [message(0), message(1), *end], [message(2)]) as (script, contacts):
        stream = steps(contacts.client.watch(trusted=True, resume_token="first"))
        assert [await anext(stream) for _ in range(3)] == [message(number) for number in range(3)]
        await stream.aclose()
    assert [each.resume_token for each in script.requests] == ["first", "after 1"]
    assert all(each.filter.trusted for each in script.requests)


async def test_what_does_not_pass_ends_a_watch(kind: Any) -> None:
    """A scope that is missing is missing the next time, too."""
    async with scripted(kind, [message(0), ScopeMissing("export")]) as (script, contacts):
        with pytest.raises(CallerRefused):
            assert [each async for each in steps(contacts.client.watch())] == [message(0)]
    assert len(script.requests) == 1


async def test_a_token_that_is_too_old_has_an_error_of_its_own(
    kind: Any, mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """Whoever keeps a copy then exports anew."""
    async with serving(mongodb_uri, tokens=tokens, database=account) as (server, _):
        contacts = Either(kind(str(server.address), token=any_token, account=account, insecure=True))
        stream = steps(contacts.client.watch())
        token = await begun(stream)
        await stream.aclose()
        await server.store._client.drop_database(account)
        with pytest.raises(ResumeTokenExpired) as failed:
            await told(steps(contacts.client.watch(resume_token=token)), "nobody")
        assert failed.value.code.name == "OUT_OF_RANGE"
        await contacts.close()


async def test_leaving_a_watch_ends_it(server: Server, contacts: Either) -> None:
    """Whoever stops reading frees the slot of the account at once."""
    stream = steps(contacts.client.watch())
    await begun(stream)
    assert server.watch_slots.taken == 1
    await stream.aclose()
    del stream
    async with asyncio.timeout(5):
        while server.watch_slots.taken:
            await asyncio.sleep(0.01)
