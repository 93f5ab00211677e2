"""Metadata as a caller sees it: any key and value comes back as it was sent, and patches merge."""

import asyncio
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from tests.client import Client

HOSTILE_KEYS = [
    "a.b",
    ".",
    "..",
    "a.",
    ".a",
    "$set",
    "$",
    "$ref",
    "$id",
    "$numberLong",
    "$oid",
    "__proto__",
    "constructor",
    "_id",
    "__class__",
    "\0",
    "a\0b",
    "%",
    "%2E",
    "%25",
    "%00",
    "\uff0e",
    "\uff04",
    "\u200b",
    "\u00a0",
    " ",
    "\u202e",
    "\ufeff",
    "e\u0301",
    "\u00e9",
    "\U0001f984",
    "`",
    "'\"\\",
    "\n",
    "k" * 128,
    "é" * 64,
    "." * 128,
    "terms",
    "account",
    "0",
]


def shown(contact: Contact) -> dict[str, Any]:
    return dict(MessageToDict(contact.metadata))


def levels(depth: int) -> dict[str, Any]:
    """An object of so many levels, itself the first."""
    return {"a": levels(depth - 1)} if depth > 1 else {"leaf": 1}


def lists(depth: int) -> list[Any]:
    return [lists(depth - 1)] if depth > 1 else ["leaf"]


def compact(size: int) -> dict[str, Any]:
    """An object of so many bytes as compact JSON."""
    return {"k": "x" * (size - len('{"k":""}'))}


async def test_any_key_comes_back(client: Client) -> None:
    """At the top, deep and inside lists, alone and all at once; no key means anything to the database."""
    everything: dict[str, Any] = {key: number for number, key in enumerate(HOSTILE_KEYS)}
    everything |= {"deep": dict(everything), "list": [dict(everything), {"$ref": "a", "$id": "b"}]}
    created = await client.create(metadata=everything)
    assert shown(created) == everything
    assert await client.get(created.id) == created
    for key in HOSTILE_KEYS:
        alone = await client.create(metadata={key: {key: [{key: None, "$ref": key}]}})
        assert shown(await client.get(alone.id)) == {key: {key: [{"$ref": key}]}}


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=ascii)
async def test_any_key_merges_and_goes(client: Client, key: str) -> None:
    """A patch sets, merges into and deletes exactly the member of that key."""
    born = await client.create(metadata={"a": 1, "b": {"a": 1}})
    await client.update({"id": born.id, "metadata": {key: {"x": 1, key: 2}}}, "metadata")
    patched = await client.update({"id": born.id, "metadata": {key: {"x": None, "y": 3}}}, "metadata")
    assert shown(patched) == {"a": 1, "b": {"a": 1}, key: {key: 2, "y": 3}}
    gone = await client.update({"id": born.id, "metadata": {key: None}}, "metadata")
    assert shown(gone) == {"a": 1, "b": {"a": 1}}


@pytest.mark.parametrize(
    ("stored", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({"a": 1}, {"a": {"b": None}}, {"a": {}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": None}, "e": 3}}, {"a": {"b": {"d": 2}, "e": 3}}),
        ({"a": 1}, {"a": True}, {"a": True}),
        ({"a": [1, None]}, {"a": [None, {"b": None, "c": 1}]}, {"a": [None, {"c": 1}]}),
        ({"a": 1}, {}, {"a": 1}),
    ],
    ids=str,
)
async def test_a_patch_merges(
    client: Client, stored: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]
) -> None:
    """RFC 7396, case by case: objects merge at every level, null deletes, lists and scalars replace."""
    born = await client.create(metadata=stored)
    changed = await client.update({"id": born.id, "metadata": patch}, "metadata")
    assert shown(changed) == result
    assert await client.get(born.id) == changed


@pytest.mark.parametrize(
    ("sent", "mask", "result"),
    [
        ({"metadata": {"b": 2}}, [], {"b": 2}),
        ({"metadata": {"b": {"c": None, "d": 1}, "a": None}}, ["metadata"], {"b": {"d": 1}}),
        ({"metadata": {}}, [], {}),
        ({"metadata": {}}, ["metadata"], {}),
        ({}, ["metadata"], {}),
        ({}, [], {"a": 1, "b": {"c": 1}}),
        ({"metadata": {"b": 2}}, ["name"], {"a": 1, "b": {"c": 1}}),
        ({"metadata": {"b": 2}}, ["*"], {"b": 2}),
    ],
    ids=str,
)
async def test_replacing_leaves_nothing_of_the_old(
    client: Client, sent: dict[str, Any], mask: list[str], result: dict[str, Any]
) -> None:
    """REPLACE swaps all of the metadata, when the update writes metadata at all; nulls are not stored."""
    born = await client.create(metadata={"a": 1, "b": {"c": 1}})
    mode = "METADATA_MODE_REPLACE"
    assert shown(await client.update({"id": born.id, **sent}, *mask, metadata_mode=mode)) == result


async def test_a_masked_absent_metadata_is_cleared(client: Client) -> None:
    """Also while merging: absent is not `{}`, which changes nothing."""
    born = await client.create(metadata={"a": 1})
    assert await client.update({"id": born.id, "metadata": {}}, "metadata") == born
    assert shown(await client.update({"id": born.id}, "metadata")) == {}


async def test_fifty_writers_of_different_keys_all_land(client: Client) -> None:
    """Updates at once without an etag: no one's member is lost."""
    born = await client.create()
    keys = [f"writer.{number}" for number in range(50)]
    await asyncio.gather(*(client.update({"id": born.id, "metadata": {key: {"$set": key}}}) for key in keys))
    assert shown(await client.get(born.id)) == {key: {"$set": key} for key in keys}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (-0.0, "0"),
        (1.0, "1"),
        (2.0**53 - 1, "9007199254740991"),
        (-(2.0**53) + 1, "-9007199254740991"),
        (0.1, "0.1"),
        (1e-320, "1e-320"),
        (123456789.125, "123456789.125"),
    ],
)
async def test_a_number_keeps_its_value(client: Client, sent: float, kept: str) -> None:
    """Whole numbers are integers in the export, -0 is 0, all others stay as they are."""
    created = await client.create(metadata={"n": sent})
    assert created.metadata["n"] == sent
    data = b"".join([message.data async for message in client.export()])
    assert f'"metadata":{{"n":{kept}}}'.encode() in data


async def test_types_stay_apart(client: Client) -> None:
    """True, 1, "1", nulls in lists and empty containers come back; a value of no kind is null."""
    sent = {"t": True, "f": False, "n": 1, "s": "1", "l": [None, [], {}, True, 1, "1", ""], "o": {}, "e": ""}
    created = await client.create(metadata=sent)
    assert shown(created) == sent
    struct = Struct()
    struct.fields["nothing"].SetInParent()
    struct.fields["list"].list_value.values.add()
    message = pb.CreateContactRequest(contact=Contact(metadata=struct))
    answer = await client.unary("CreateContact")(message, metadata=client.metadata)
    assert shown(answer.contact) == {"list": [None]}


@pytest.mark.parametrize(
    "metadata",
    [
        levels(16),
        {"a": lists(15)},
        {str(number): number for number in range(256)},
        {"list": list(range(255)), "one": {}},
        compact(32 * 1024),
        {"k": "é" * ((32 * 1024 - 8) // 2)},
    ],
    ids=["levels", "levels of lists", "leaves", "leaves in a list", "bytes", "bytes of UTF-8"],
)
async def test_the_limit_itself_is_allowed(client: Client, metadata: dict[str, Any]) -> None:
    """16 levels, 256 leaves, 32 KiB: as much as the contract grants can be created, merged and read."""
    created = await client.create(metadata=metadata)
    assert shown(created) == metadata
    again = await client.create()
    assert shown(await client.update({"id": again.id, "metadata": metadata})) == metadata


@pytest.mark.parametrize(
    ("stored", "patch"),
    [
        (compact(32 * 1024), {"l": 1}),
        ({str(number): number for number in range(256)}, {"one more": 1}),
        ({str(number): number for number in range(255)}, {"list": [1, 2]}),
        ({}, levels(17)),
        ({}, {"a": lists(16)}),
        ({}, compact(32 * 1024 + 1)),
    ],
    ids=["bytes", "leaves", "leaves in a list", "levels", "levels of lists", "bytes at once"],
)
async def test_the_result_of_a_merge_counts(
    client: Client, stored: dict[str, Any], patch: dict[str, Any]
) -> None:
    """A small patch that makes the whole too large is refused, and nothing of the update is written."""
    born = await client.create(metadata=stored)
    failed = await client.failure("UpdateContact", contact={"id": born.id, "name": "x", "metadata": patch})
    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "METADATA_INVALID")
    assert failed.fields == ["contact.metadata"]
    assert await client.get(born.id) == born
    shrunk = await client.update({"id": born.id, "metadata": dict.fromkeys(stored) | {"new": 1}})
    assert shown(shrunk) == {"new": 1}
