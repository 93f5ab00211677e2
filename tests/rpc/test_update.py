"""UpdateContact: which fields a call writes, when it refuses, and when it writes nothing at all."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from tests.client import Client, failure
from tests.rpc.refusal import refusal

BORN: dict[str, Any] = {
    "fingerprint": "f",
    "name": "Ann",
    "description": "tall",
    "email": "ann@example.com",
    "phone": "1",
    "nickname": "A",
    "preferences": "tea",
    "metadata": {"plan": "pro"},
    "verified_at": "2020-01-01T00:00:00Z",
}
OTHER: dict[str, Any] = {
    "fingerprint": "g",
    "name": "Bob",
    "description": "small",
    "email": "bob@example.com",
    "phone": "2",
    "nickname": "B",
    "preferences": "coffee",
    "metadata": {"plan": "free"},
    "verified_at": "2021-01-01T00:00:00Z",
}
CLEARABLE = [name for name in BORN if name != "fingerprint"]


def shown(contact: Contact) -> dict[str, Any]:
    """The writable fields of a contact as they would be sent."""
    fields = MessageToDict(contact, preserving_proto_field_name=True)
    return {name: value for name, value in fields.items() if name in BORN and value != {}}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in BORN.items() if name not in names}


def milliseconds() -> int:
    return time.time_ns() // 1_000_000


def camel(name: str) -> str:
    """A path of a mask as protojson writes it."""
    return name.replace("verified_at", "verifiedAt")


@pytest.mark.parametrize("name", BORN)
async def test_a_masked_field_is_written_and_no_other(client: Client, name: str) -> None:
    """Of all fields that are sent only the one in the mask changes."""
    born = await client.create(**BORN)
    changed = await client.update({"id": born.id, **OTHER}, camel(name))
    assert shown(changed) == BORN | {name: OTHER[name]}
    assert changed.etag != born.etag
    assert await client.get(born.id) == changed


@pytest.mark.parametrize("name", CLEARABLE)
async def test_a_masked_absent_field_is_cleared(client: Client, name: str) -> None:
    """A field that the mask names and the contact lacks is absent afterwards."""
    born = await client.create(**BORN)
    assert shown(await client.update({"id": born.id}, camel(name))) == without(name)


@pytest.mark.parametrize("name", BORN)
async def test_without_a_mask_a_populated_field_is_written(client: Client, name: str) -> None:
    """What is sent is written, what is absent stays; also with a mask that is there and empty."""
    born = await client.create(**BORN)
    changed = await client.update({"id": born.id, name: OTHER[name]})
    assert shown(changed) == BORN | {name: OTHER[name]}
    message = pb.UpdateContactRequest(contact=Contact(id=born.id, name="Cleo"), update_mask=FieldMask())
    answer = await client.unary("UpdateContact")(message, metadata=client.metadata)
    assert shown(answer.contact) == BORN | {name: OTHER[name]} | {"name": "Cleo"}


async def test_a_star_means_all_fields(client: Client) -> None:
    """Under `*` what is sent is written and all else is cleared, but never the fingerprint."""
    born = await client.create(**BORN)
    assert shown(await client.update({"id": born.id, **OTHER}, "*")) == OTHER
    assert shown(await client.update({"id": born.id, "name": "Cleo"}, "*")) == {
        "fingerprint": "g",
        "name": "Cleo",
    }
    assert shown(await client.update({"id": born.id}, "*", "name")) == {"fingerprint": "g"}


async def test_an_empty_fingerprint_is_refused_where_it_is_named(client: Client) -> None:
    """A fingerprint is never cleared: named and empty it is an error, with nothing written."""
    born = await client.create(**BORN)
    for mask in (["fingerprint"], ["name", "fingerprint"], ["*", "fingerprint"]):
        failed = await client.failure("UpdateContact", contact={"id": born.id}, update_mask=",".join(mask))
        assert (failed.reason, failed.fields) == ("INVALID_FIELD", ["contact.fingerprint"])
    assert await client.get(born.id) == born


async def test_what_the_server_writes_is_ignored(client: Client) -> None:
    """Sent times and class change nothing, with a mask, without one and under `*`."""
    born = await client.create(name="Ann")
    sent = {"id": born.id, "trusted": True, "created_at": "2001-01-01T00:00:00Z"}
    sent |= {"updated_at": "2001-01-01T00:00:00Z", "name": "Ann"}
    for mask in ([], ["name"], ["*"]):
        assert await client.update(sent, *mask) == born


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        *[(path, "MASK_PATH_INVALID") for path in ("id", "created_at", "updated_at", "etag")],
        ("trusted", "TRUST_IMMUTABLE"),
        *[(path, "MASK_PATH_INVALID") for path in ("metadata.plan", "metadata.", "verified_at.seconds")],
        *[(path, "MASK_PATH_INVALID") for path in ("", " ", "Name", "name ", "verifiedAt", "**", "account")],
        *[(path, "MASK_PATH_INVALID") for path in ("rev", "terms", "_id", "$set", "contact.name", "name\0")],
    ],
)
@pytest.mark.parametrize("beside", [[], ["name"], ["*"]], ids=str)
async def test_a_path_that_is_not_writable_is_refused(
    client: Client, path: str, reason: str, beside: list[str]
) -> None:
    """Whatever stands beside it, an unknown, deeper or server-written path refuses the whole update."""
    born = await client.create(**BORN)
    contact = Contact(id=born.id, name="Bob")
    message = pb.UpdateContactRequest(contact=contact, update_mask=FieldMask(paths=[*beside, path]))
    refused = await refusal(client.unary("UpdateContact")(message, metadata=client.metadata))
    assert (refused.code, refused.reason, refused.fields) == ("INVALID_ARGUMENT", reason, ["update_mask"])
    assert ("merge" in refused.message) is path.startswith(("metadata.", "verified_at."))
    assert await client.get(born.id) == born


@pytest.mark.parametrize(
    ("sent", "mask"),
    [
        ({}, []),
        (BORN, []),
        (BORN, ["*"]),
        ({"name": "Ann"}, ["name"]),
        ({"metadata": {}}, []),
        ({"metadata": {"plan": "pro", "gone": None, "deep": {"gone": None}}}, ["metadata"]),
        ({"verified_at": "2020-01-01T00:00:00.000999Z"}, ["verifiedAt"]),
        ({"fingerprint": "f"}, ["fingerprint"]),
    ],
    ids=str,
)
async def test_what_changes_nothing_writes_nothing(
    client: Client, sent: dict[str, Any], mask: list[str]
) -> None:
    """Etag and updated_at stay when the contact would be what it is; the etag that was read still counts."""
    born = await client.create(**BORN | {"metadata": {"plan": "pro", "deep": {}}})
    async with asyncio.timeout(5):
        # Else a write would not be seen in the time.
        while milliseconds() <= born.updated_at.ToMilliseconds():
            await asyncio.sleep(0)
    assert await client.update({"id": born.id, **sent}, *mask) == born
    assert await client.update({"id": born.id, "etag": born.etag, **sent}, *mask) == born


async def test_every_write_has_another_etag_and_its_own_time(client: Client) -> None:
    """A change back to the old value is a change, too: no etag comes twice, and its time is now."""
    states = [await client.create(name="Ann")]
    for turn in range(20):
        before = milliseconds()
        states.append(await client.update({"id": states[0].id, "name": f"{turn % 2}"}))
        assert before <= states[-1].updated_at.ToMilliseconds() <= milliseconds()
    assert len({state.etag for state in states}) == len(states)
    born = states[0].updated_at.ToMilliseconds()
    assert {state.created_at.ToMilliseconds() for state in states} == {born}


async def test_an_etag_must_be_the_current_one(client: Client) -> None:
    """A stale or wrong etag is ABORTED with nothing written, also for an update that changes nothing."""
    born = await client.create(name="Ann")
    changed = await client.update({"id": born.id, "etag": born.etag, "name": "Bob"}, "name")
    for etag in (born.etag, "x", changed.etag + " ", "0" + changed.etag):
        for name in ("Cleo", "Bob"):
            failed = await client.failure(
                "UpdateContact", contact={"id": born.id, "etag": etag, "name": name}
            )
            assert (failed.code, failed.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert await client.get(born.id) == changed


async def test_of_many_with_one_etag_one_wins(client: Client) -> None:
    """Twenty writers with the same etag at once: one is applied, all others have ETAG_MISMATCH."""
    born = await client.create()
    sent = [{"id": born.id, "etag": born.etag, "name": f"writer {turn}"} for turn in range(20)]
    ends = await asyncio.gather(*map(client.update, sent), return_exceptions=True)
    [winner] = [end for end in ends if isinstance(end, Contact)]
    refused = [failure(end).reason for end in ends if isinstance(end, grpc.aio.AioRpcError)]
    assert refused == ["ETAG_MISMATCH"] * 19
    assert await client.get(born.id) == winner


async def test_a_taken_fingerprint_refuses_the_whole_update(client: Client) -> None:
    """FINGERPRINT_TAKEN names the one who has it, and nothing of the request is applied."""
    taken = await client.create(fingerprint="taken")
    born = await client.create(**BORN)
    sent = {"id": born.id, **OTHER, "fingerprint": "taken"}
    for mask in ({}, {"update_mask": "*"}, {"update_mask": "fingerprint,name"}):
        failed = await client.failure("UpdateContact", contact=sent, **mask)
        assert (failed.code, failed.reason) == ("ALREADY_EXISTS", "FINGERPRINT_TAKEN")
        assert failed.metadata == {"existing_id": taken.id}
        assert "taken" not in failed.message
    assert await client.get(born.id) == born


async def test_a_changed_fingerprint_frees_the_old_one(client: Client) -> None:
    """The new text finds the contact, in its class as before; the old one makes another contact."""
    born = await client.create(**BORN)
    changed = await client.update({"id": born.id, "fingerprint": "new"})
    assert changed.trusted
    assert await client.ensure(fingerprint="new") == (changed, False)
    other, created = await client.ensure(fingerprint="f")
    assert created
    back = await client.failure("UpdateContact", contact={"id": born.id, "fingerprint": "f"})
    assert back.metadata == {"existing_id": other.id}


async def test_a_race_for_a_fingerprint_has_one_winner(client: Client) -> None:
    """Ten contacts that want one fingerprint at once: one gets it, nine are told who has it."""
    people = [await client.create() for _ in range(10)]
    calls = [client.update({"id": person.id, "fingerprint": "one"}) for person in people]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    [winner] = [end for end in ends if isinstance(end, Contact)]
    loser = next(person.id for person in people if person.id != winner.id)
    failed = await client.failure("UpdateContact", contact={"id": loser, "fingerprint": "one"})
    assert failed.metadata == {"existing_id": winner.id}


@pytest.mark.parametrize("field", ["fingerprint", "name"])
async def test_an_own_derived_fingerprint_may_be_sent_back(client: Client, field: str) -> None:
    """What was read can be sent as it is, although the caller could not have chosen such a fingerprint."""
    born, _ = await client.ensure(name="Ann")
    changed = await client.update({"id": born.id, "fingerprint": born.fingerprint, "name": "Bob"}, field)
    assert changed.fingerprint == born.fingerprint
