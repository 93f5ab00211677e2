"""WatchContacts as a client sees it: what is told, in which order, and where tokens lead."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contactservice.v1 import contact_service_pb2 as pb
from service.domain import limits
from service.rpc.server import Server
from tests.client import Client
from tests.people import fill
from tests.rpc.serving import serving

CREATED, UPDATED, DELETED = pb.CHANGE_KIND_CREATED, pb.CHANGE_KIND_UPDATED, pb.CHANGE_KIND_DELETED


async def begun(watch: Any) -> str:
    """The token of the first message, which is a heartbeat."""
    first = await watch.read()
    assert first.WhichOneof("event") == "heartbeat"
    return str(first.resume_token)


async def told(watch: Any, count: int) -> list[pb.WatchContactsResponse]:
    """The next changes; heartbeats are left out."""
    found: list[pb.WatchContactsResponse] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            message = await watch.read()
            assert message.resume_token
            if message.HasField("change"):
                found.append(message)
    return found


def kinds(messages: list[pb.WatchContactsResponse]) -> list[tuple[str, int]]:
    return [(message.change.id, message.change.kind) for message in messages]


async def test_what_happens_to_a_contact_is_told(client: Client) -> None:
    """Born, changed, gone: with the contact as the calls returned it, and when it was."""
    async with client.watch() as watch:
        await begun(watch)
        contact = await client.create(fingerprint="f", name="Ann", metadata={"plan": "pro", "a.b": [1]})
        changed = await client.update({"id": contact.id, "name": "Bob"})
        messages = await told(watch, 2)
        await client.call("DeleteContact", id=contact.id)
        messages += await told(watch, 1)
    assert kinds(messages) == [(contact.id, CREATED), (contact.id, UPDATED), (contact.id, DELETED)]
    assert [each.change.contact for each in messages[:2]] == [contact, changed]
    assert [each.change.matches for each in messages] == [True, True, False]
    assert not messages[2].change.HasField("contact")
    for message in messages:
        moment = message.change.change_time.ToDatetime(UTC)
        assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)
        assert moment.microsecond % 1000 == 0


async def test_what_was_before_is_not_told(client: Client) -> None:
    """From now on means behind what was answered before the call."""
    await client.create(name="before")
    async with client.watch() as watch:
        await begun(watch)
        after = await client.create(name="after")
        [message] = await told(watch, 1)
    assert message.change.contact == after


async def test_what_changes_nothing_is_not_told(client: Client) -> None:
    """Get or create that gets, and an update to what is there."""
    contact, _ = await client.ensure(email="ann@example.com")
    async with client.watch() as watch:
        await begun(watch)
        await client.ensure(email="ann@example.com")
        await client.update({"id": contact.id, "email": "ann@example.com"})
        other = await client.create()
        assert kinds(await told(watch, 1)) == [(other.id, CREATED)]


async def test_a_filter_tells_who_matches_and_who_does_not_any_more(client: Client) -> None:
    """Who stops matching is told without its fields; who is born without matching is not told at all."""
    async with client.watch(filter={"metadata": {"plan": "pro"}}) as watch:
        await begun(watch)
        await client.create(metadata={"plan": "free"})
        contact = await client.create(metadata={"plan": "pro"})
        await client.update({"id": contact.id, "metadata": {"plan": "free"}})
        again = await client.update({"id": contact.id, "metadata": {"plan": "pro"}})
        messages = await told(watch, 3)
    assert kinds(messages) == [(contact.id, CREATED), (contact.id, UPDATED), (contact.id, UPDATED)]
    assert [each.change.matches for each in messages] == [True, False, True]
    assert not messages[1].change.HasField("contact")
    assert messages[2].change.contact == again


async def test_deletions_are_told_whatever_the_filter(client: Client) -> None:
    """Nobody knows any more whether the contact matched."""
    async with client.watch(filter={"emails": ["nobody@example.com"]}) as watch:
        await begun(watch)
        contact = await client.create(name="Ann")
        await client.call("DeleteContact", id=contact.id)
        assert kinds(await told(watch, 1)) == [(contact.id, DELETED)]


async def test_a_watch_for_some_ids_is_not_told_of_others(client: Client) -> None:
    """Whose id is another never can match, whatever changes."""
    wanted, other = await client.create(), await client.create()
    async with client.watch(filter={"ids": [wanted.id]}) as watch:
        await begun(watch)
        await client.update({"id": other.id, "name": "Bob"})
        await client.update({"id": wanted.id, "name": "Ann"})
        assert kinds(await told(watch, 1)) == [(wanted.id, UPDATED)]


async def test_every_token_leads_on(client: Client) -> None:
    """What happened while nobody watched is told to who comes back, from each token what is behind it."""
    async with client.watch() as watch:
        tokens = [await begun(watch)]
        people = [await client.create(name="first")]
        tokens += [each.resume_token for each in await told(watch, 1)]
    people += [await client.create(name=str(number)) for number in range(3)]
    for number, token in enumerate(tokens):
        async with client.watch(resume_token=token) as watch:
            messages = await told(watch, 4 - number)
            assert [each.change.contact for each in messages] == people[number:]
    async with client.watch(resume_token=messages[-1].resume_token) as watch:
        late = await client.create(name="late")
        assert kinds(await told(watch, 1)) == [(late.id, CREATED)]


async def test_a_token_works_on_another_replica(
    client: Client, mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """Nothing of a watch is kept by a process."""
    async with client.watch() as watch:
        token = await begun(watch)
    contact = await client.create()
    async with serving(mongodb_uri, tokens=tokens) as (_, channel):
        other = Client(channel, any_token, account)
        async with other.watch(resume_token=token) as watch:
            assert kinds(await told(watch, 1)) == [(contact.id, CREATED)]


async def test_an_export_and_its_watch_are_all_there_is(server: Server, client: Client, account: str) -> None:
    """What changes while an export runs is told by the watch that its summary leads to."""
    people = await fill(server.store, account, count=3000, size=2000)
    export = aiter(client.export(format="EXPORT_FORMAT_CONTACTS"))
    copy = {}
    parts = [await anext(export), await anext(export)]
    changed = await client.update({"id": people[0].id, "name": "changed"})
    await client.call("DeleteContact", id=people[1].id)
    born = await client.create(name="born")
    parts += [part async for part in export]
    for part in parts:
        copy.update({contact.id: contact for contact in part.contacts.contacts})
    assert parts[-1].summary.watch_token
    async with client.watch(resume_token=parts[-1].summary.watch_token) as watch:
        messages = await told(watch, 3)
    for message in messages:
        if message.change.matches:
            copy[message.change.id] = message.change.contact
        else:
            copy.pop(message.change.id, None)
    assert kinds(messages) == [(changed.id, UPDATED), (people[1].id, DELETED), (born.id, CREATED)]
    assert len(copy) == 3000
    assert copy[changed.id] == changed
    assert copy[born.id] == born
    assert people[1].id not in copy


async def test_a_resumed_export_leads_to_its_first_beginning(client: Client) -> None:
    """A change between the parts of an export is behind the token of the last part."""
    people = [await client.create(name=str(number)) for number in range(4)]
    wanted = {"filter": {"trusted": False}}
    [*_, first] = [part async for part in client.export(max_records="2", **wanted)]
    await client.update({"id": people[0].id, "name": "changed"})
    token = first.summary.next_part_token
    [*_, last] = [part async for part in client.export(resume_token=token, **wanted)]
    async with client.watch(resume_token=last.summary.watch_token, **wanted) as watch:
        assert kinds(await told(watch, 1)) == [(people[0].id, UPDATED)]
    other = await client.failure("WatchContacts", resume_token=last.summary.watch_token)
    assert other.reason == "PAGE_TOKEN_MISMATCH"


@pytest.mark.parametrize("terms", [{"trusted": True}, {"metadata": {"plan": "pro"}}])
async def test_a_token_belongs_to_its_filter(client: Client, terms: dict[str, Any]) -> None:
    """Another filter is PAGE_TOKEN_MISMATCH, what is no token PAGE_TOKEN_INVALID."""
    async with client.watch(filter=terms) as watch:
        token = await begun(watch)
    failed = await client.failure("WatchContacts", resume_token=token)
    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_MISMATCH")
    failed = await client.failure("WatchContacts", filter=terms, resume_token=token[:-1])
    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    assert failed.fields == ["resume_token"]


async def test_tokens_of_other_streams_are_no_tokens_of_watches(client: Client) -> None:
    """Nor the other way round."""
    for _ in range(2):
        await client.create()
    _, page = await client.list(page_size=1)
    tokens = {part.resume_token async for part in client.export()} - {""}
    for token in (page, *tokens):
        assert (await client.failure("WatchContacts", resume_token=token)).reason == "PAGE_TOKEN_MISMATCH"
    async with client.watch() as watch:
        token = await begun(watch)
    assert (await client.failure("ListContacts", page_token=token)).reason == "PAGE_TOKEN_MISMATCH"
    assert (await client.failure("ExportContacts", resume_token=token)).reason == "PAGE_TOKEN_MISMATCH"


@pytest.mark.parametrize("terms", [{"emails": [""]}, {"metadata": {"a": None}}, {"ids": ["x"] * 101}])
async def test_a_bad_filter_is_refused(client: Client, terms: dict[str, Any]) -> None:
    """As of a list, before anything is sent."""
    failed = await client.failure("WatchContacts", filter=terms)
    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "FILTER_INVALID")


async def test_silence_has_a_heartbeat_whose_token_moves_on(
    client: Client, monkeypatch: pytest.MonkeyPatch, account: str, server: Server
) -> None:
    """Also when others change all the time: a quiet account's token never grows old, and misses nothing."""
    monkeypatch.setattr(limits, "WATCH_HEARTBEAT_SECONDS", 0.3)
    async with client.watch() as watch:
        tokens = [await begun(watch)]
        while len(set(tokens)) < 4:
            await fill(server.store, f"{account}-{len(tokens)}", count=1)
            async with asyncio.timeout(10):
                message = await watch.read()
            assert message.HasField("heartbeat")
            assert message.heartbeat.time.ToDatetime(UTC).microsecond % 1000 == 0
            tokens.append(message.resume_token)
        contact = await client.create()
        assert kinds(await told(watch, 1)) == [(contact.id, CREATED)]
    async with client.watch(resume_token=tokens[-1]) as watch:
        assert kinds(await told(watch, 1)) == [(contact.id, CREATED)]
