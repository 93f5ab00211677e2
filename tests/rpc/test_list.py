"""ListContacts: pages that together hold every contact once, and the tokens that lead on."""

import asyncio
import base64
from typing import Any

import grpc
import pytest

from contactservice.v1.contact_pb2 import Contact
from service.rpc.server import Server
from tests.client import Client
from tests.people import fill

OLDEST = "CONTACT_ORDER_OLDEST_FIRST"
NEWEST = "CONTACT_ORDER_NEWEST_FIRST"
MIB = 1024 * 1024
# What a gRPC client takes by default.
CLIENT_LIMIT = 4 * MIB


async def pages(client: Client, **fields: Any) -> list[list[str]]:
    """The ids of every page, from the first to the one without a token."""
    found = []
    contacts, token = await client.list(**fields)
    found.append([contact.id for contact in contacts])
    while token:
        contacts, token = await client.list(page_token=token, **fields)
        found.append([contact.id for contact in contacts])
    return found


async def created(client: Client, count: int) -> list[str]:
    return [(await client.create(name=f"{number}")).id for number in range(count)]


@pytest.mark.parametrize("size", [1, 3, 4, 6, 11, 12, 13])
@pytest.mark.parametrize("order", [None, NEWEST, OLDEST])
async def test_pages_walk_to_the_end(client: Client, size: int, order: str | None) -> None:
    """Twelve contacts in the order asked for (newest first by default), in full pages but the last.

    The token is empty exactly at the end, also where the size divides the count.
    """
    ids = await created(client, 12)
    expected = ids if order == OLDEST else ids[::-1]
    fields = {"order": order} if order else {}
    found = await pages(client, page_size=size, **fields)
    assert [contact_id for page in found for contact_id in page] == expected
    assert len(found) == -(-12 // size)
    assert {len(page) for page in found[:-1]} <= {size}


async def test_an_empty_account_has_one_empty_page(client: Client) -> None:
    """No contacts, no token; so has a filter that nobody meets."""
    assert await client.list() == ([], "")
    await client.create(name="Ann")
    assert await client.list(filter={"emails": ["nobody@example.com"]}) == ([], "")


async def test_the_page_size_has_a_default_and_a_bound(server: Server, client: Client, account: str) -> None:
    """0 means 100, above 1000 means 1000, and a token may go on with another size."""
    people = [contact.id for contact in await fill(server.store, account, count=1101, size=10)]
    newest = people[::-1]
    for size, shown in [(None, 100), (0, 100), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]:
        page, token = await client.list(**({} if size is None else {"page_size": size}))
        assert [contact.id for contact in page] == newest[:shown]
        assert token
    rest, end = await client.list(page_size=500, page_token=token)
    assert ([contact.id for contact in rest], end) == (newest[1000:], "")
    assert (await client.failure("ListContacts", page_size=-1)).fields == ["page_size"]


@pytest.mark.parametrize("order", [NEWEST, OLDEST])
async def test_what_stays_is_listed_once_while_others_come_and_go(client: Client, order: str) -> None:
    """Between two pages rows are deleted behind and ahead, the row of the token too, and others appear."""
    ids = await created(client, 30)
    ordered = ids if order == OLDEST else ids[::-1]
    found: list[str] = []
    gone: set[str] = set()
    token = ""
    while True:
        contacts, token = await client.list(page_size=4, order=order, page_token=token)
        found += [contact.id for contact in contacts]
        if not token:
            break
        behind, ahead = (
            found[-1],
            ordered[ordered.index(found[-1]) + 2] if found[-1] in ordered[:-2] else None,
        )
        for contact_id in filter(None, (behind, ahead)):
            await client.call("DeleteContact", id=contact_id, allow_missing=True)
            gone.add(contact_id)
        if len(gone) < 12:
            await client.create(name="new")
    assert len(found) == len(set(found))
    assert found == sorted(found, reverse=order == NEWEST)
    assert set(ids) - gone <= set(found)
    assert len(gone) > 5


async def test_a_page_behind_the_last_row_is_empty(client: Client) -> None:
    """When everything behind a token was deleted, the next page is empty and the last."""
    ids = await created(client, 4)
    _, token = await client.list(page_size=2)
    for contact_id in ids:
        await client.call("DeleteContact", id=contact_id)
    assert await client.list(page_size=2, page_token=token) == ([], "")


async def test_a_token_can_be_used_again(client: Client) -> None:
    """It holds a place, not a state: the same page comes as often as it is asked for, also at once."""
    ids = await created(client, 5)
    _, token = await client.list(page_size=2)
    answers = await asyncio.gather(*(client.list(page_size=2, page_token=token) for _ in range(10)))
    assert {tuple(contact.id for contact in page) for page, _ in answers} == {(ids[2], ids[1])}


@pytest.mark.parametrize("bytes_each", [90_000, 3_400, 3_300, 3_250])
async def test_a_page_ends_at_three_mebibytes(
    server: Server, client: Client, account: str, bytes_each: int
) -> None:
    """However large the contacts: a response has at most 3 MiB, is nearly full, and nobody is missed."""
    count = 5 * MIB // bytes_each
    people = [contact.id for contact in await fill(server.store, account, count=count, size=bytes_each)]
    found: list[str] = []
    token = ""
    while True:
        answer = await client.call("ListContacts", page_size=1000, page_token=token)
        found += [contact.id for contact in answer.contacts]
        token = answer.next_page_token
        assert answer.ByteSize() <= 3 * MIB
        if not token:
            break
        full = len(answer.contacts) == 1000 or answer.ByteSize() > 3 * MIB - bytes_each - 4000
        assert full
    assert found == people[::-1]


async def test_the_largest_contacts_fit_a_page(client: Client) -> None:
    """Contacts with every field at its limit are listed under the limit of any client."""
    largest = {"preferences": "p" * 32 * 1024, "description": "d" * 4096, "metadata": {"k": "m" * 32_000}}
    ids = [(await client.create(name="🦄" * 256, **largest)).id for _ in range(50)]
    answer = await client.call("ListContacts", page_size=1000)
    assert answer.ByteSize() <= 3 * MIB < CLIENT_LIMIT
    rest, end = await client.list(page_size=1000, page_token=answer.next_page_token)
    shown: list[Contact] = [*answer.contacts, *rest]
    assert ([contact.id for contact in shown], end) == (ids[::-1], "")


async def test_a_tampered_token_is_refused(client: Client) -> None:
    """Whatever is changed, cut, added or made up: PAGE_TOKEN_INVALID, never another page or a failure."""
    await created(client, 3)
    _, token = await client.list(page_size=1)
    changed = [
        token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        for place in range(len(token))
    ]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    remade = [
        base64.urlsafe_b64encode(each).decode().rstrip("=") for each in (raw[1:], raw[:-1], raw + b"\0")
    ]
    remade += [base64.urlsafe_b64encode(b"\2" + raw[1:]).decode().rstrip("=")]
    others = [token[:-1], token[1:], token + "A", token + "=", " " + token, token + "\n", token * 2]
    nonsense = ["A", "x" * 1000, "é", "\U0001f984", "=", "ct_x", "0", "null", '{"after": ""}']
    for broken in changed + remade + others + nonsense:
        failed = await client.failure("ListContacts", page_size=1, page_token=broken)
        assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID"), broken
        assert failed.fields == ["page_token"]


@pytest.mark.parametrize(
    "other",
    [
        {"order": OLDEST},
        {"filter": {"trusted": True}},
        {"filter": {"trusted": False, "verified": False}},
        {"filter": {"trusted": False, "emails": ["a@b"]}},
        {"filter": {"trusted": False, "metadata": {"a": "1"}}},
        {"filter": {"trusted": False, "created_after": "2020-01-01T00:00:00Z"}},
        {},
    ],
    ids=str,
)
async def test_a_token_belongs_to_its_request(client: Client, other: dict[str, Any]) -> None:
    """Another filter or order than the token was made for is PAGE_TOKEN_MISMATCH."""
    await created(client, 3)
    asked: dict[str, Any] = {"filter": {"trusted": False}}
    _, token = await client.list(page_size=1, **asked)
    failed = await client.failure("ListContacts", page_token=token, **other)
    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_MISMATCH")
    assert failed.fields == ["page_token"]
    page, _ = await client.list(page_token=token, order=NEWEST, **asked)
    assert len(page) == 2


async def test_a_token_belongs_to_its_account_and_rpc(
    client: Client, channel: grpc.aio.Channel, any_token: str, account: str
) -> None:
    """In another account or another RPC it is PAGE_TOKEN_MISMATCH, and shows nothing."""
    await created(client, 3)
    _, token = await client.list(page_size=1, order=OLDEST)
    stranger = Client(channel, any_token, account + "-b")
    assert (await stranger.failure("ListContacts", page_token=token, order=OLDEST)).reason == (
        "PAGE_TOKEN_MISMATCH"
    )
    exported = await client.failure("ExportContacts", resume_token=token)
    assert (exported.reason, exported.fields) == ("PAGE_TOKEN_MISMATCH", ["resume_token"])
    tokens = [message.resume_token async for message in client.export() if message.resume_token]
    listed = await client.failure("ListContacts", page_token=tokens[0], order=OLDEST)
    assert (listed.reason, listed.fields) == ("PAGE_TOKEN_MISMATCH", ["page_token"])


async def test_an_equal_filter_may_be_written_otherwise(client: Client) -> None:
    """The order of values, repetitions and spellings with one normal form are the same request."""
    for _ in range(3):
        await client.create(email="ann@example.com", metadata={"a": [1, 2]})
    _, token = await client.list(
        page_size=1, filter={"emails": ["Ann@Example.com", "b"], "metadata": {"a": [1, 2]}}
    )
    same = {"emails": ["b", " ann@example.com", "b"], "metadata": {"a": [2.0, 1, 1]}}
    page, _ = await client.list(page_token=token, filter=same)
    assert len(page) == 2
