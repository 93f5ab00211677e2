"""DeleteContact: what is gone, what a repetition is told, and that nothing of the person stays."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from bson import json_util
from pymongo import AsyncMongoClient

from contactservice.v1.contact_service_pb2 import DeleteContactResponse
from contactservice.v1.deletion_pb2 import DELETION_STATE_COMPLETE
from tests.client import Client, failure
from tests.rpc.serving import serving

CANARY = "canary-3e9b71"
PERSON: dict[str, Any] = {
    "fingerprint": f"fp-{CANARY}",
    "name": f"name-{CANARY}",
    "description": f"description-{CANARY}",
    "email": f"email-{CANARY}",
    "phone": f"phone {CANARY}",
    "nickname": f"nickname-{CANARY}",
    "preferences": f"preferences-{CANARY}",
    "metadata": {f"key-{CANARY}": f"value-{CANARY}", "list": [f"element-{CANARY}"]},
}


async def delete(client: Client, contact_id: str, **fields: Any) -> DeleteContactResponse:
    answer: DeleteContactResponse = await client.call("DeleteContact", id=contact_id, **fields)
    return answer


async def dump(mongodb_uri: str, database: str) -> str:
    """Every document of every collection, as text."""
    async with AsyncMongoClient[dict[str, Any]](mongodb_uri) as mongo:
        collections = [mongo[database][name] for name in await mongo[database].list_collection_names()]
        found = [json_util.dumps(document) for each in collections async for document in each.find()]
    return "\n".join(found)


@pytest_asyncio.fixture
async def database(mongodb_uri: str, account: str) -> AsyncIterator[str]:
    """The name of a database of the test's own."""
    yield account
    async with AsyncMongoClient[dict[str, Any]](mongodb_uri) as mongo:
        await mongo.drop_database(account)


@pytest.mark.parametrize("person", [PERSON, {"name": "Ann"}, {}], ids=["trusted", "derived", "bare"])
async def test_a_deleted_contact_is_gone(client: Client, person: dict[str, Any]) -> None:
    """No call finds it any more, by its id, its fingerprint or in a list."""
    contact = await client.create(**person)
    kept = await client.create(name="kept")
    answer = await delete(client, contact.id)
    assert answer.id == contact.id
    for method, fields in [
        ("GetContact", {"id": contact.id}),
        ("UpdateContact", {"contact": {"id": contact.id, "name": "x"}}),
        ("UpdateContact", {"contact": {"id": contact.id, "etag": contact.etag}}),
        ("DeleteContact", {"id": contact.id}),
        ("DeleteContact", {"id": contact.id, "etag": contact.etag}),
    ]:
        failed = await client.failure(method, **fields)
        assert (failed.code, failed.reason) == ("NOT_FOUND", "CONTACT_NOT_FOUND")
    assert await client.list() == ([kept], "")
    for terms in ({"ids": [contact.id]}, {"fingerprints": [contact.fingerprint]}):
        assert await client.list(filter=terms) == ([], "")


async def test_the_receipt_tells_when_and_nothing_else(client: Client) -> None:
    """COMPLETE, an id of its own, times in milliseconds, nothing linked, and nothing of the person."""
    contact = await client.create(**PERSON)
    receipt = (await delete(client, contact.id)).receipt
    assert receipt.state == DELETION_STATE_COMPLETE
    assert receipt.id not in {"", contact.id}
    assert not receipt.collections
    times = (contact.created_at, receipt.started_at, receipt.finished_at)
    assert [time.ToMilliseconds() for time in times] == sorted(time.ToMilliseconds() for time in times)
    assert all(time.nanos % 1_000_000 == 0 for time in times)
    assert CANARY.encode() not in receipt.SerializeToString()


async def test_a_repetition_with_allow_missing_gets_the_kept_receipt(client: Client) -> None:
    """The same answer as often as it is asked for, whatever etag is sent; also for a first deletion."""
    contact = await client.create()
    first = await delete(client, contact.id, allow_missing=True)
    assert first.receipt.state == DELETION_STATE_COMPLETE
    assert await delete(client, contact.id, allow_missing=True) == first
    assert await delete(client, contact.id, allow_missing=True, etag="stale") == first


async def test_what_never_existed_has_no_receipt(client: Client, account: str) -> None:
    """Absent and malformed ids: NOT_FOUND, or with `allow_missing` the id alone."""
    known = await client.create()
    absent = known.id[:-1] + ("0" if known.id[-1] != "0" else "1")
    malformed = [known.id.lower(), known.id[:-1], known.id + "0", known.id[3:], " " + known.id, "x", account]
    for contact_id in (absent, *malformed):
        failed = await client.failure("DeleteContact", id=contact_id)
        assert (failed.code, failed.reason) == ("NOT_FOUND", "CONTACT_NOT_FOUND")
        assert await delete(client, contact_id, allow_missing=True) == DeleteContactResponse(id=contact_id)
    assert await client.list() == ([known], "")


@pytest.mark.parametrize("allow_missing", [False, True])
async def test_a_stale_etag_deletes_nothing(client: Client, allow_missing: bool) -> None:
    """ETAG_MISMATCH, and the contact is still there; the current etag deletes it."""
    born = await client.create(name="Ann")
    changed = await client.update({"id": born.id, "name": "Bob"})
    for etag in (born.etag, "x", changed.etag + "0"):
        failed = await client.failure("DeleteContact", id=born.id, etag=etag, allow_missing=allow_missing)
        assert (failed.code, failed.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert await client.get(born.id) == changed
    answer = await delete(client, born.id, etag=changed.etag, allow_missing=allow_missing)
    assert answer.receipt.state == DELETION_STATE_COMPLETE


@pytest.mark.parametrize("person", [{"fingerprint": "f"}, {"name": "Ann"}], ids=["trusted", "derived"])
async def test_the_fingerprint_is_free_again(client: Client, person: dict[str, Any]) -> None:
    """A contact that takes it has a new id, is born new, and the old id stays gone."""
    first, _ = await client.ensure(**person, description="old", metadata={"old": True})
    await delete(client, first.id)
    again, created = await client.ensure(**person)
    assert created
    assert again.id > first.id
    assert (again.fingerprint, again.description) == (first.fingerprint, "")
    assert not again.metadata.fields
    assert (await client.failure("GetContact", id=first.id)).reason == "CONTACT_NOT_FOUND"


@pytest.mark.parametrize("etag", [False, True], ids=["bare", "with the etag"])
async def test_of_deletions_at_once_one_succeeds(client: Client, etag: bool) -> None:
    """Twenty at once: one answer with a receipt, nineteen NOT_FOUND, and the receipt is kept."""
    contact = await client.create()
    fields = {"etag": contact.etag} if etag else {}
    calls = [delete(client, contact.id, **fields) for _ in range(20)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    [success] = [end for end in ends if isinstance(end, DeleteContactResponse)]
    refused = [failure(end).reason for end in ends if isinstance(end, grpc.aio.AioRpcError)]
    assert refused == ["CONTACT_NOT_FOUND"] * 19
    assert success.receipt.state == DELETION_STATE_COMPLETE
    assert await delete(client, contact.id, allow_missing=True) == success


async def test_deletions_with_allow_missing_at_once_all_succeed(client: Client) -> None:
    """Each has the id and the one receipt."""
    contact = await client.create()
    answers = await asyncio.gather(*(delete(client, contact.id, allow_missing=True) for _ in range(20)))
    assert {answer.id for answer in answers} == {contact.id}
    assert {answer.receipt.id for answer in answers} == {answers[0].receipt.id}
    assert answers[0].receipt.id


async def test_a_deletion_meets_a_change_of_the_fingerprint(client: Client) -> None:
    """Writes are found by fingerprint; a deletion that comes between two of them still deletes."""
    for turn in range(20):
        born = await client.create(fingerprint=f"before|{turn}")
        update = client.update({"id": born.id, "fingerprint": f"after|{turn}"})
        _, deleted = await asyncio.gather(update, delete(client, born.id), return_exceptions=True)
        assert isinstance(deleted, DeleteContactResponse)
        assert (await client.failure("GetContact", id=born.id)).reason == "CONTACT_NOT_FOUND"


async def test_update_and_delete_race(client: Client) -> None:
    """An update never brings a deleted contact back, and a deletion with an etag never takes a newer one."""
    for turn in range(20):
        born = await client.create(name="Ann")
        update = client.update({"id": born.id, "name": "Bob"})
        removal = delete(client, born.id, **({"etag": born.etag} if turn % 2 else {}))
        updated, deleted = await asyncio.gather(update, removal, return_exceptions=True)
        if isinstance(deleted, DeleteContactResponse):
            assert deleted.receipt.state == DELETION_STATE_COMPLETE
            assert (await client.failure("GetContact", id=born.id)).reason == "CONTACT_NOT_FOUND"
        else:
            assert isinstance(deleted, grpc.aio.AioRpcError)
            assert failure(deleted).reason == "ETAG_MISMATCH"
            assert await client.get(born.id) == updated
            # The refused deletion leaves no trace that a later call would take for a deletion.
            final = await delete(client, born.id)
            assert final.receipt.started_at.ToMilliseconds() >= updated.updated_at.ToMilliseconds()


async def test_a_refused_deletion_does_not_take_the_receipt_of_another(client: Client) -> None:
    """With an update that outdates the etag of some: the one that succeeds has a receipt, and it is kept."""
    for _ in range(20):
        born = await client.create(name="Ann")
        with_etag = [delete(client, born.id, etag=born.etag) for _ in range(2)]
        update = client.update({"id": born.id, "name": "Bob"})
        ends = await asyncio.gather(update, *with_etag, delete(client, born.id), return_exceptions=True)
        [success] = [end for end in ends if isinstance(end, DeleteContactResponse)]
        assert success.receipt.state == DELETION_STATE_COMPLETE
        assert await delete(client, born.id, allow_missing=True) == success


async def test_nothing_of_the_person_stays_in_the_database(
    mongodb_uri: str, tokens: Path, any_token: str, account: str, database: str
) -> None:
    """No document of any collection holds a text of the contact, old or new, nor a term of it."""
    async with serving(mongodb_uri, tokens=tokens, database=database) as (_, channel):
        client = Client(channel, any_token, account)
        contact = await client.create(**PERSON)
        await client.update({"id": contact.id, "name": f"later-{CANARY}", "metadata": {f"more-{CANARY}": 1}})
        retried = await client.create(request_id=f"request-{CANARY}", name=f"guest-{CANARY}")
        ensured, _ = await client.ensure(name=f"ensured-{CANARY}")
        before = await dump(mongodb_uri, database)
        people = [json.loads(line) for line in before.splitlines() if CANARY in line]
        for person in people:
            await delete(client, person["_id"])
        after = await dump(mongodb_uri, database)
    assert {person["_id"] for person in people} == {contact.id, retried.id, ensured.id}
    assert CANARY not in after
    assert contact.id in after
    for person in people:
        assert person["fingerprint"] not in after
        assert not [term for term in person["terms"] if str(term) in after]
