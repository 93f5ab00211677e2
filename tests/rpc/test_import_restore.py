"""An export of the account is restored without loss: all of each contact comes back, but for its etag."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import Parse

from contactservice.v1.contact_pb2 import Contact
from service.domain import limits
from service.rpc.server import Server
from tests.client import Client
from tests.people import fill
from tests.rpc.imported import MERGE, exported, results, without_etag

METADATA: dict[str, Any] = {
    "text": "1e3",
    "whole": 1,
    "float": 1.5,
    "large": 2**53 - 1,
    "small": 5e-324,
    "flags": [True, False, None, 0, "", {}, []],
    "a.b": {"$ne": {"%2E": "\U0001f600", "\u2028": "\u0085"}},
    "list": [{"deep": [[1]]}],
}


async def lived_in(client: Client) -> list[Contact]:
    """Contacts of every class and kind, some of which have been changed since."""
    await client.create(fingerprint="oauth|1", name="Ann", metadata=METADATA, preferences="a\tb\r\n")
    ann, _ = await client.ensure(name="Ann", email="ann@example.com", phone="+49 30 1")
    await client.create(request_id="form-1", name="Bob", description="\u2029")
    await client.create(nickname="drawn")
    await client.create()
    cleared = await client.create(fingerprint="oauth|2")
    await client.update({"id": cleared.id, "nickname": "not verified"}, "verifiedAt", "nickname")
    await client.update({"id": ann.id, "name": "Ann Lee", "verifiedAt": "2020-01-01T00:00:00.001Z"})
    renamed, _ = await client.ensure(email="bob@example.com")
    await client.update({"id": renamed.id, "fingerprint": "oauth|1"})
    return await exported(client)


async def deleted(client: Client, people: list[Contact]) -> None:
    answer = await client.call("BatchDeleteContacts", ids=[contact.id for contact in people])
    assert all(outcome.HasField("receipt") for outcome in answer.outcomes)


async def lines(client: Client) -> list[str]:
    data = b"".join([part.data async for part in client.export(format="EXPORT_FORMAT_JSONL")])
    return data.decode().split("\n")[:-1]


def canonical(line: str) -> str:
    """Without etag, its members sorted; texts tell 1 from 1.0 and true."""
    return json.dumps(json.loads(line) | {"etag": None}, sort_keys=True)


async def test_an_export_as_messages_is_restored(client: Client) -> None:
    """Ids, fingerprints, classes, times and metadata are what they were; the etag begins anew."""
    people = await lived_in(client)
    assert [contact.etag for contact in people if contact.etag != "1"]
    await deleted(client, people)
    assert await exported(client) == []
    assert results(await client.load(people)) == ["CREATED"] * len(people)
    restored = await exported(client)
    assert list(map(without_etag, restored)) == list(map(without_etag, people))
    assert {contact.etag for contact in restored} == {"1"}


async def test_an_export_as_lines_is_restored(client: Client) -> None:
    """Each line parses as protojson into a row; the next export has the same lines but for the etags."""
    people = await lived_in(client)
    before = await lines(client)
    await deleted(client, people)
    rows = [Parse(line, Contact()) for line in before]
    assert results(await client.load(rows)) == ["CREATED"] * len(people)
    assert [canonical(line) for line in await lines(client)] == [canonical(line) for line in before]
    assert json.loads(before[0])["metadata"] == METADATA


async def test_restored_contacts_are_found_as_before(client: Client) -> None:
    """By derived and supplied fingerprint, by request id, and by what filters look for."""
    people = await lived_in(client)
    await deleted(client, people)
    await client.load(people)
    again, created = await client.ensure(name="Ann", email="ann@example.com", phone="+49 30 1")
    assert (again.name, created) == ("Ann Lee", False)
    assert (await client.create(fingerprint="oauth|1")).id == people[0].id
    assert (await client.create(request_id="form-1")).id == people[2].id
    found, _ = await client.list(filter={"metadata": {"a.b": {"$ne": {"%2E": "\U0001f600"}}}})
    assert [contact.id for contact in found] == [people[0].id]
    assert [each.id for each in (await client.list(filter={"verified": True}))[0]] == [
        people[1].id,
        people[0].id,
    ]


@pytest.mark.parametrize("options", [{}, MERGE], ids=str)
async def test_a_restore_can_be_repeated(client: Client, options: dict[str, str]) -> None:
    """What is there already, all of it or a part, is found and left; nobody is there twice."""
    people = await lived_in(client)
    await deleted(client, people[::2])
    outcomes = await client.load(people, **options)
    assert results(outcomes) == ["CREATED" if number % 2 == 0 else "FOUND" for number in range(len(people))]
    restored = await exported(client)
    assert list(map(without_etag, restored)) == list(map(without_etag, people))
    assert results(await client.load(people, **options)) == ["FOUND"] * len(people)
    assert await exported(client) == restored


async def test_a_large_restore_goes_batch_by_batch(client: Client, server: Server, account: str) -> None:
    """Some thousand contacts of both classes, untrusted ones with fingerprints of their own among them."""
    await fill(server.store, account, count=3 * limits.BATCH_CONTACTS - 1)
    people = await exported(client)
    for start in range(0, len(people), limits.BATCH_IDS):
        await client.call(
            "BatchDeleteContacts", ids=[each.id for each in people[start : start + limits.BATCH_IDS]]
        )
    assert await exported(client) == []
    most = limits.BATCH_CONTACTS
    outcomes = await client.load(*(people[start : start + most] for start in range(0, len(people), most)))
    assert [outcome.row for outcome in outcomes] == list(range(len(people)))
    assert [outcome.id for outcome in outcomes] == [contact.id for contact in people]
    assert list(map(without_etag, await exported(client))) == list(map(without_etag, people))
