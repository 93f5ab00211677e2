"""CreateContact: which contact a call meets, and what is kept of what was sent."""

import asyncio
import re
import time
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from tests.client import Client

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SOME_TIME = "2020-02-29T23:59:59.123Z"
EVERYTHING: dict[str, Any] = {
    "fingerprint": "oauth|Ünïcode 🦄",
    "name": "Ann  Lee",
    "description": "line one\r\n\tline two",
    "email": "Ann.Lee@Example.COM",
    "phone": "+49 (30) 1-2.3",
    "nickname": "\uff41nn",
    "preferences": "tea,\nno calls",
    "metadata": {"plan": "pro", "tags": ["a", None, 1.5], "deep": {"on": True}},
    "verified_at": SOME_TIME,
}


def milliseconds_of(contact_id: str) -> int:
    """The time in an id: ten characters of Crockford base32 behind `ct_` and the tag."""
    number = 0
    for digit in contact_id[15:25]:
        number = number * 32 + CROCKFORD.index(digit)
    return number


@pytest.mark.parametrize(
    ("sent", "trusted", "verified"),
    [
        ({"fingerprint": "f"}, True, "birth"),
        ({"fingerprint": "f", "verified_at": SOME_TIME}, True, SOME_TIME),
        ({"fingerprint": "f", "trusted": False}, True, "birth"),
        ({}, False, None),
        ({"trusted": True}, False, None),
        ({"verified_at": SOME_TIME}, False, SOME_TIME),
        ({"name": "Ann", "email": "ann@example.com"}, False, None),
    ],
    ids=str,
)
async def test_identity_at_birth(
    client: Client, sent: dict[str, Any], trusted: bool, verified: str | None
) -> None:
    """A fingerprint makes a trusted contact, verified from birth; none an untrusted one, as it was sent."""
    response = await client.call("CreateContact", contact=sent)
    contact = response.contact
    assert response.created
    assert contact.trusted is trusted
    assert (contact.fingerprint == "f") is trusted
    assert contact.fingerprint
    found = contact.verified_at.ToJsonString() if contact.HasField("verified_at") else None
    assert found == (contact.created_at.ToJsonString() if verified == "birth" else verified)


async def test_an_existing_contact_is_returned_unchanged(client: Client) -> None:
    """A second call with the fingerprint writes nothing of what it brings, and says so."""
    first = await client.create(**EVERYTHING)
    other = {"fingerprint": EVERYTHING["fingerprint"], "name": "Other", "metadata": {"plan": "free"}}
    again = await client.call("CreateContact", contact=other)
    assert (again.created, again.contact) == (False, first)
    assert await client.get(first.id) == first


async def test_a_fingerprint_is_compared_byte_for_byte(client: Client) -> None:
    """Case, composition and inner spaces make another person; nothing is normalised."""
    texts = ["Ab", "ab", "a b", "a  b", "\u00e9", "e\u0301", "\uff41b", "1d1:x", "D1:x", "d:x"]
    found = [await client.create(fingerprint=text) for text in texts]
    assert [contact.fingerprint for contact in found] == texts
    assert len({contact.id for contact in found}) == len(texts)


async def test_without_identity_each_call_creates(client: Client) -> None:
    """The same guest twice is two contacts with two fingerprints, of the server's kind."""
    first, second = [await client.create(name="Ann", email="ann@example.com") for _ in range(2)]
    assert first.id != second.id
    assert first.fingerprint != second.fingerprint
    assert {contact.fingerprint[:3] for contact in (first, second)} == {"r1:"}


async def test_one_text_in_both_classes_is_two_contacts(client: Client) -> None:
    """A trusted and an untrusted contact can have the same fingerprint, and each is met by its class only."""
    trusted = await client.create(fingerprint="same")
    guest = await client.create(name="guest")
    guest = await client.update({"id": guest.id, "fingerprint": "same"})
    assert (guest.fingerprint, guest.trusted, trusted.trusted) == ("same", False, True)
    assert await client.create(fingerprint="same") == trusted
    assert await client.ensure(fingerprint="same") == (trusted, False)
    assert await client.list(filter={"fingerprints": ["same"]}) == ([guest, trusted], "")


async def test_a_retry_finds_what_its_request_id_made(
    client: Client, channel: grpc.aio.Channel, any_token: str, account: str
) -> None:
    """The request id alone decides, in its account, whatever else a retry brings."""
    first = await client.create(request_id="order 1", name="Ann")
    retry = await client.call("CreateContact", contact={"name": "Bob"}, request_id="order 1")
    other = await client.create(request_id="order 2", name="Ann")
    foreign = await Client(channel, any_token, account + "-b").create(request_id="order 1", name="Ann")
    assert (retry.created, retry.contact) == (False, first)
    assert len({first.id, other.id, foreign.id}) == 3
    assert len({first.fingerprint, other.fingerprint, foreign.fingerprint}) == 3
    assert {contact.fingerprint[:3] for contact in (first, other, foreign)} == {"q1:"}
    assert not first.trusted


async def test_a_request_id_is_found_only_while_its_contact_exists(client: Client) -> None:
    """After a deletion the same request id makes a new contact."""
    first = await client.create(request_id="once")
    await client.call("DeleteContact", id=first.id)
    again = await client.call("CreateContact", request_id="once")
    assert again.created
    assert again.contact.id != first.id


async def test_with_a_fingerprint_the_request_id_decides_nothing(client: Client) -> None:
    """One request id with two fingerprints is two trusted contacts, and no guest."""
    found = [await client.create(request_id="r", fingerprint=text) for text in ("one", "two")]
    assert [contact.fingerprint for contact in found] == ["one", "two"]
    assert (await client.call("CreateContact", request_id="r")).created


@pytest.mark.parametrize("identity", [{"contact": {"fingerprint": "f"}}, {"request_id": "r"}], ids=str)
async def test_a_race_makes_one_contact(client: Client, identity: dict[str, Any]) -> None:
    """64 calls at once: one contact, one `created`."""
    answers = await asyncio.gather(*(client.call("CreateContact", **identity) for _ in range(64)))
    assert len({answer.contact.id for answer in answers}) == 1
    assert sum(answer.created for answer in answers) == 1


async def test_what_the_server_writes_is_ignored(client: Client) -> None:
    """Sent id, trusted, times and etag leave no trace."""
    stranger = await client.create()
    old = {"created_at": "2001-01-01T00:00:00Z", "updated_at": "2001-01-01T00:00:00Z"}
    contact = await client.create(id=stranger.id, trusted=True, etag="99", name="Ann", **old)
    assert contact.id != stranger.id
    assert not contact.trusted
    assert contact.created_at.ToJsonString() > "2026"
    assert contact.updated_at == contact.created_at
    assert contact.etag == stranger.etag


@pytest.mark.parametrize("sent", [{}, {"contact": {}}, {"contact": {"metadata": {}, "name": ""}}], ids=str)
async def test_an_empty_contact_is_one(client: Client, sent: dict[str, Any]) -> None:
    """Nothing needs to be known of a person; the metadata is shown as `{}`."""
    contact = (await client.call("CreateContact", **sent)).contact
    written = {field.name for field, _ in contact.ListFields()}
    assert written == {"id", "fingerprint", "metadata", "created_at", "updated_at", "etag"}
    assert not contact.metadata.fields


async def test_what_is_returned_is_what_is_stored(client: Client) -> None:
    """Create, Get, List and Export show the same contact, and every text exactly as it was sent."""
    created = await client.create(**EVERYTHING)
    shown = MessageToDict(created, preserving_proto_field_name=True)
    assert {name: shown[name] for name in EVERYTHING} == EVERYTHING
    parts = [part async for part in client.export(format="EXPORT_FORMAT_CONTACTS")]
    exported = [contact for part in parts for contact in part.contacts.contacts]
    page, _ = await client.list()
    assert [await client.get(created.id), *page, *exported] == [created] * 3


@pytest.mark.parametrize(
    ("seconds", "nanos", "kept"),
    [
        (0, 999_999, 0),
        (1_700_000_000, 123_999_999, 123_000_000),
        (-1, 999_999_999, 999_000_000),
        (-62_135_596_800, 0, 0),
        (253_402_300_799, 999_999_999, 999_000_000),
    ],
)
async def test_times_are_cut_to_milliseconds(client: Client, seconds: int, nanos: int, kept: int) -> None:
    """In all of the years 1 to 9999, also before 1970; what Create returns is what Get returns."""
    moment = Timestamp(seconds=seconds, nanos=nanos)
    created = await client.create(verified_at=moment.ToJsonString())
    assert (created.verified_at.seconds, created.verified_at.nanos) == (seconds, kept)
    assert await client.get(created.id) == created


async def test_the_id_tells_time_and_order(client: Client, channel: grpc.aio.Channel, any_token: str) -> None:
    """`created_at` is the time in the id, the time of the call; ids of one account rise with each call."""
    before = time.time_ns() // 1_000_000
    found = [await client.create() for _ in range(50)]
    after = time.time_ns() // 1_000_000
    shape = re.compile(f"ct_[{CROCKFORD}]{{12}}[0-7][{CROCKFORD}]{{25}}")
    for contact in found:
        assert shape.fullmatch(contact.id)
        assert contact.created_at.ToMilliseconds() == milliseconds_of(contact.id)
        assert contact.created_at == contact.updated_at
        assert before <= contact.created_at.ToMilliseconds() <= after
    ids = [contact.id for contact in found]
    assert ids == sorted(set(ids))
    stranger = await Client(channel, any_token, "another-account").create()
    assert {contact_id[:15] for contact_id in ids} == {ids[0][:15]} != {stranger.id[:15]}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", "🦄" * 256),
        ("nickname", "🦄" * 128),
        ("description", "🦄" * 1024),
        ("email", "é" * 254),
        ("phone", "9" * 32),
        ("fingerprint", "é" * 256),
        ("preferences", "p\t\r\n" * 8192),
    ],
)
async def test_a_text_of_the_greatest_length_is_kept(client: Client, field: str, text: str) -> None:
    """Limits in characters count code points, limits in bytes UTF-8; the limit itself is allowed."""
    created = await client.create(**{field: text})
    assert getattr(created, field) == text
    assert await client.get(created.id) == created
