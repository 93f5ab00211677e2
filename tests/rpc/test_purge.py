"""PurgeContacts: what matches is shown, or deleted in bounded calls, and nobody else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from contactservice.v1 import contact_service_pb2 as pb
from service.domain import limits
from service.rpc.server import Server
from tests.client import Client
from tests.people import fill
from tests.rpc.serving import serving

DRY_RUN, PARTIAL, COMPLETE = (
    pb.PURGE_STATE_DRY_RUN,
    pb.PURGE_STATE_PARTIAL,
    pb.PURGE_STATE_COMPLETE,
)
PRO = {"metadata": {"plan": "pro"}}


async def remaining(client: Client) -> set[str]:
    contacts, token = await client.list(page_size=1000)
    assert not token
    return {contact.id for contact in contacts}


async def test_without_force_nothing_is_deleted(client: Client, server: Server, account: str) -> None:
    """All that match are counted, the oldest twenty are shown."""
    people = await fill(server.store, account, count=60)
    answer = await client.call("PurgeContacts", filter=PRO)
    matching = [person.id for person in people if person.metadata["plan"] == "pro"]
    assert (answer.state, answer.count, answer.restricted) == (DRY_RUN, len(matching), 0)
    assert list(answer.sample_ids) == matching[: limits.PURGE_SAMPLE_IDS]
    assert await remaining(client) == {person.id for person in people}


async def test_with_force_what_matches_goes_in_bounded_calls(
    client: Client, server: Server, account: str
) -> None:
    """So many a call, oldest first, until none is left; whoever does not match stays."""
    people = await fill(server.store, account, count=300)
    matching = [person.id for person in people if person.metadata["plan"] == "pro"]
    seen = []
    for expected_count, state in ((70, PARTIAL), (70, PARTIAL), (10, COMPLETE), (0, COMPLETE)):
        answer = await client.call("PurgeContacts", filter=PRO, limit=70, force=True)
        assert (answer.count, answer.state) == (expected_count, state)
        seen += answer.sample_ids
    assert seen == matching[:20] + matching[70:90] + matching[140:]
    assert await remaining(client) == {person.id for person in people} - set(matching)


async def test_a_purge_that_ends_at_its_limit_has_more_or_not(client: Client) -> None:
    """The limit reached with the last one: nobody is left, and that is told."""
    for _ in range(3):
        await client.create(name="Ann")
    answer = await client.call("PurgeContacts", filter={"trusted": False}, limit=3, force=True)
    assert (answer.count, answer.state) == (3, COMPLETE)


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({}, "FILTER_INVALID", "filter"),
        ({"filter": {}}, "FILTER_INVALID", "filter"),
        ({"filter": {"metadata": {}}, "force": True}, "FILTER_INVALID", "filter.metadata"),
        ({"filter": PRO, "limit": 1001}, "INVALID_FIELD", "limit"),
        ({"filter": PRO, "limit": -1, "force": True}, "INVALID_FIELD", "limit"),
    ],
    ids=str,
)
async def test_a_bad_purge_deletes_nobody(
    client: Client, fields: dict[str, Any], reason: str, field: str
) -> None:
    """A filter without a term above all: an account is not emptied by leaving something out."""
    contact = await client.create(metadata={"plan": "pro"})
    failed = await client.failure("PurgeContacts", **fields)
    assert (failed.code, failed.reason, failed.fields) == ("INVALID_ARGUMENT", reason, [field])
    assert await remaining(client) == {contact.id}


async def test_who_was_changed_meanwhile_stays(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contact that no longer is what matched is not deleted; the state says to look again."""
    contact = await client.create(metadata={"plan": "pro"})
    delete = server.store.delete

    async def changed_first(*arguments: Any, **more: Any) -> Any:
        await client.update({"id": contact.id, "metadata": {"plan": "free"}})
        return await delete(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(server.store, "delete", changed_first)
        answer = await client.call("PurgeContacts", filter=PRO, force=True)
    assert (answer.count, answer.state) == (0, PARTIAL)
    assert await remaining(client) == {contact.id}
    answer = await client.call("PurgeContacts", filter=PRO, force=True)
    assert (answer.count, answer.state) == (0, COMPLETE)


@pytest_asyncio.fixture
async def guarded(
    mongodb_uri: str, tokens: Path, any_token: str, account: str, tmp_path: Path
) -> AsyncIterator[tuple[Client, AsyncMongoClient[dict[str, Any]], str]]:
    """A client of a service with invoices, which forbid to delete whom they name."""
    rule = {
        "collection": "invoices",
        "account_field": "account",
        "contact_field": "contact",
        "action": "RESTRICT",
    }
    linked = tmp_path / "linked.toml"
    linked.write_text("[[linked]]\n" + "".join(f'{name} = "{value}"\n' for name, value in rule.items()))
    async with (
        serving(mongodb_uri, tokens=tokens, linked=linked) as (server, channel),
        AsyncMongoClient(mongodb_uri) as mongo,
    ):
        yield Client(channel, any_token, account), mongo, server.store._database.name


async def test_whom_linked_data_protects_is_left_and_counted(
    guarded: tuple[Client, AsyncMongoClient[dict[str, Any]], str], account: str
) -> None:
    """The others go, and the purge is complete: calling again would change nothing."""
    client, mongo, database = guarded
    kept, gone = await client.create(name="Ann"), await client.create(name="Bob")
    await mongo[database]["invoices"].insert_one({"account": account, "contact": kept.id})
    answer = await client.call("PurgeContacts", filter={"trusted": False}, force=True)
    assert (answer.count, answer.restricted, answer.state) == (1, 1, COMPLETE)
    assert list(answer.sample_ids) == [gone.id]
    assert await remaining(client) == {kept.id}


async def test_purges_at_once_delete_each_contact_once(client: Client, server: Server, account: str) -> None:
    """Together they count as many as there were."""
    await fill(server.store, account, count=100)
    purges = (client.call("PurgeContacts", filter=PRO, force=True) for _ in range(4))
    answers = await asyncio.gather(*purges)
    assert sum(answer.count for answer in answers) == 50


async def test_a_purge_counts_as_so_many_deletions(
    mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """As many as it may delete; to look costs none."""
    async with serving(mongodb_uri, tokens=tokens, rate_deletes="1/h:10") as (_, channel):
        client = Client(channel, any_token, account)
        await client.create(metadata={"plan": "pro"})
        assert (await client.call("PurgeContacts", filter=PRO)).count == 1
        failed = await client.failure("PurgeContacts", filter=PRO, limit=11, force=True)
        assert failed.reason == "RATE_LIMITED"
        assert (await client.call("PurgeContacts", filter=PRO, limit=10, force=True)).count == 1
        failed = await client.failure("PurgeContacts", filter=PRO, limit=1, force=True)
        assert failed.reason == "RATE_LIMITED"
