"""The order of checks: who calls, may they, is the request valid, is the contact there."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from contactservice.v1.contact_pb2 import Contact
from service.rpc import token_file
from service.rpc.auth import ANY_ACCOUNT, SCOPES
from service.rpc.server import SERVICE
from tests.client import Client
from tests.rpc.refusal import refusal, send

METHODS = [method.name for method in SERVICE.methods]
UNPARSABLE = b"\xff"


@pytest.mark.parametrize("method", METHODS)
async def test_who_calls_comes_before_what_they_send(
    channel: grpc.aio.Channel, any_token: str, tokens: Path, account: str, method: str
) -> None:
    """Credential, account and scope are checked before a byte of the request is parsed."""
    bare = token_file.add(tokens, ANY_ACCOUNT, ("trust",))
    for metadata, reason in [
        ([], "CREDENTIALS_MISSING"),
        ([("x-account-id", "no account")], "CREDENTIALS_MISSING"),
        ([("authorization", "Bearer nonsense"), ("x-account-id", account)], "CREDENTIALS_INVALID"),
        ([("authorization", f"Bearer {any_token}")], "ACCOUNT_NOT_ALLOWED"),
        ([("authorization", f"Bearer {bare}")], "ACCOUNT_NOT_ALLOWED"),
        ([("authorization", f"Bearer {bare}"), ("x-account-id", account)], "SCOPE_MISSING"),
        ([("authorization", f"Bearer {any_token}"), ("x-account-id", account)], "INVALID_FIELD"),
    ]:
        answer = await refusal(send(channel, method, UNPARSABLE, metadata))
        assert answer.reason == reason


@pytest.mark.parametrize("method", ["CreateContact", "EnsureContact"])
async def test_the_scope_trust_comes_before_the_fields(
    channel: grpc.aio.Channel, tokens: Path, account: str, method: str
) -> None:
    """Who may not say who somebody is learns that first, whatever else is wrong with the contact."""
    token = token_file.add(tokens, account, tuple(set(SCOPES) - {"trust"}))
    client = Client(channel, token, None)
    failed = await client.failure(method, contact={"fingerprint": "d1: \n", "name": "x" * 300})
    assert (failed.reason, failed.metadata) == ("SCOPE_MISSING", {"scope": "trust"})


@pytest.mark.parametrize(
    ("sent", "mask", "reason"),
    [
        ({"name": "x" * 257}, [], "INVALID_FIELD"),
        ({"name": "x" * 257}, ["phone"], "INVALID_FIELD"),
        ({"metadata": {"k" * 129: 1}}, [], "METADATA_INVALID"),
        ({}, ["nonsense"], "MASK_PATH_INVALID"),
        ({}, ["trusted"], "TRUST_IMMUTABLE"),
        ({}, ["fingerprint"], "INVALID_FIELD"),
        ({"fingerprint": "x" * 513}, [], "INVALID_FIELD"),
        ({"fingerprint": " edge"}, ["fingerprint"], "INVALID_FIELD"),
        ({"fingerprint": "line\n"}, ["*"], "INVALID_FIELD"),
    ],
    ids=lambda each: str(each)[:30],
)
async def test_a_bad_update_is_told_before_the_contact_is_looked_up(
    client: Client, sent: dict[str, Any], mask: list[str], reason: str
) -> None:
    """The same answer for a contact that is there and for one that is not."""
    contact = await client.create()
    other = await client.create()
    await client.call("DeleteContact", id=other.id)
    fields = {"update_mask": ",".join(mask)} if mask else {}
    for contact_id in (contact.id, other.id, "nonsense"):
        failed = await client.failure("UpdateContact", contact={"id": contact_id, **sent}, **fields)
        assert failed.reason == reason
    assert await client.get(contact.id) == contact


async def test_absent_comes_before_the_etag(client: Client) -> None:
    """A contact that is not there has no etag to differ from."""
    contact: Contact = await client.create()
    await client.call("DeleteContact", id=contact.id)
    for method, fields in [
        ("UpdateContact", {"contact": {"id": contact.id, "etag": "x"}}),
        ("DeleteContact", {"id": contact.id, "etag": "x"}),
    ]:
        assert (await client.failure(method, **fields)).reason == "CONTACT_NOT_FOUND"
