"""Single contacts through batches on a real database: shapes of the queries, and who is hurt by whom."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import bson
import pymongo
import pytest
import pytest_asyncio
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from service.domain import contact as contacts
from service.domain import ids
from service.domain.contact import Contact, Draft
from service.domain.errors import StoreTimeout
from service.storage.by_key import ContactsByKey
from service.storage.documents import StoredContact, to_document
from service.storage.gate import Gate
from service.storage.transcode import Python, Transcoder
from tests.commands import Commands
from tests.storage.conftest import Stored
from tests.storage.proxy import proxied

mint = ids.IdMint(lambda: 1_767_225_600_000, secrets.randbits)


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest_asyncio.fixture
async def by_key(
    mongodb_uri: str, stored: Stored, commands: Commands, transcoder: Transcoder
) -> AsyncIterator[ContactsByKey]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb_uri, event_listeners=[commands])
    yield ContactsByKey(client[stored.database.name]["contacts"], Gate(), transcoder, batching=True)
    await client.close()


def person(account: str, fingerprint: str, *, trusted: bool = True, **fields: Any) -> StoredContact:
    return StoredContact.of(account, newborn(account, fingerprint, trusted=trusted, **fields))


def newborn(account: str, fingerprint: str, *, trusted: bool = True, **fields: Any) -> Contact:
    return contacts.born(mint.mint(account), Draft(**fields), fingerprint, trusted=trusted)


async def contact_of(finding: Awaitable[StoredContact | None]) -> Contact:
    found = await finding
    assert found
    return found.contact


async def test_concurrent_finds_are_one_command(by_key: ContactsByKey, commands: Commands) -> None:
    """Of many accounts at once: the first goes alone, those who came meanwhile together."""
    people = [person(f"account-{number % 7}", f"user:{number}", name=str(number)) for number in range(30)]
    accounts = [f"account-{number % 7}" for number in range(30)]
    for contact in people:
        assert await by_key.insert(contact)
    commands.seen.clear()
    found = await asyncio.gather(
        *(by_key.by_id(account, contact.id) for account, contact in zip(accounts, people, strict=True))
    )
    assert found == people
    assert commands.names.count("find") == 2
    commands.seen.clear()
    found = await asyncio.gather(
        *(by_key.by_identity(*Python().identity(contact.document)) for contact in people)
    )
    assert found == people
    assert commands.names.count("find") == 2


async def test_one_fingerprint_in_many_accounts_and_both_classes(by_key: ContactsByKey) -> None:
    """Each caller gets the contact of its account and class, or none."""
    people = {
        (account, trusted): person(account, "user:1", trusted=trusted, name=f"{account} {trusted}")
        for account in ("a", "b", "c")
        for trusted in (True, False)
        if (account, trusted) != ("c", False)
    }
    for contact in people.values():
        await by_key.insert(contact)
    keys = [(account, trusted) for account in ("a", "b", "c", "d") for trusted in (True, False)]
    found = await asyncio.gather(
        *(by_key.by_identity(account, "user:1", trusted) for account, trusted in keys)
    )
    assert found == [people.get(key) for key in keys]


async def test_an_id_is_found_in_its_own_account_only(by_key: ContactsByKey) -> None:
    """Also when the two accounts are asked for together, and the id is one of the other's."""
    contact = person("a", "user:1")
    await by_key.insert(contact)
    others = [person("b", str(number)) for number in range(3)]
    for other in others:
        await by_key.insert(other)
    found = await asyncio.gather(
        by_key.by_id("b", others[0].id),
        by_key.by_id("b", contact.id),
        by_key.by_id("a", contact.id),
        by_key.by_id("a", others[1].id),
    )
    assert found == [others[0], None, contact, None]


async def test_inserts_gather_and_refusals_find_their_callers(
    by_key: ContactsByKey, commands: Commands
) -> None:
    """In an unordered insert those fail whose fingerprint is taken, in the database or beside them.

    The first two have a lane each and go at once; the other four gather meanwhile.
    """
    await by_key.insert(person("a", "taken"))
    commands.seen.clear()
    fingerprints = ["1", "2", "taken", "3", "3", "4"]
    outcomes = await asyncio.gather(*(by_key.insert(person("a", each)) for each in fingerprints))
    assert outcomes == [True, True, False, True, False, True]
    assert commands.names.count("insert") == 3


async def test_a_document_that_cannot_be_read_fails_its_own_caller(
    by_key: ContactsByKey, stored: Stored
) -> None:
    """A time that no datetime holds, written by somebody else: the neighbours of its batch are served."""
    people = [newborn("a", str(number)) for number in range(6)]
    for contact in people[:5]:
        await by_key.insert(StoredContact.of("a", contact))
    broken = to_document("a", people[5])
    far = bson.encode(broken).replace(bson.encode({"updated_at": broken["updated_at"]})[4:-1], far_future())
    await stored.database["contacts"].insert_one(RawBSONDocument(far))
    for asked in (
        [by_key.by_id("a", contact.id) for contact in people],
        [by_key.by_identity("a", contact.fingerprint, contact.trusted) for contact in people],
    ):
        ends = await asyncio.gather(*map(contact_of, asked), return_exceptions=True)
        assert ends[:5] == people[:5]
        assert isinstance(ends[5], bson.errors.InvalidBSON)


def far_future() -> bytes:
    return b"\x09updated_at\x00" + (2**62).to_bytes(8, "little")


async def test_contacts_that_outgrow_a_reply_are_all_found(by_key: ContactsByKey, commands: Commands) -> None:
    """A hundred contacts of 200 KB do not fit into the 16 MiB of one reply: then each is asked for alone."""
    people = [person("a", str(number), preferences="x" * 200_000) for number in range(100)]
    for contact in people:
        await by_key.insert(contact)
    commands.seen.clear()
    found = await asyncio.gather(*(by_key.by_id("a", contact.id) for contact in people))
    assert found == people
    assert commands.names.count("find") > 50


async def test_an_interrupted_read_is_tried_again(mongodb_uri: str, stored: Stored) -> None:
    """A connection that breaks under a read costs its callers nothing but time."""
    contact = person("a", "user:1")
    _, port = pymongo.uri_parser.parse_uri(mongodb_uri)["nodelist"][0]
    async with proxied(port) as (proxy, door):
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient("127.0.0.1", door, directConnection=True)
        by_key = ContactsByKey(client[stored.database.name]["contacts"], Gate(), Python(), batching=True)
        assert await by_key.insert(contact)
        proxy.stumbles_at = b"\x02find\x00"
        found = await asyncio.gather(*(by_key.by_id("a", contact.id) for _ in range(3)))
        await client.close()
    assert found == [contact] * 3
    assert proxy.stumbles_at == b""


async def test_a_reply_that_never_comes_has_a_deadline(mongodb_uri: str, stored: Stored) -> None:
    """Who waits for it is told STORE_TIMEOUT in time; those who come later are not held up by it."""
    contact = person("a", "user:1")
    _, port = pymongo.uri_parser.parse_uri(mongodb_uri)["nodelist"][0]
    async with proxied(port) as (proxy, door):
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient("127.0.0.1", door, directConnection=True)
        gate = Gate(seconds=0.5)
        by_key = ContactsByKey(client[stored.database.name]["contacts"], gate, Python(), batching=True)
        assert await by_key.insert(contact)
        proxy.swallows, proxy.stumbles_at = True, b"\x02find\x00"
        lost = [asyncio.create_task(by_key.by_id("a", contact.id))]
        while proxy.stumbles_at:
            await asyncio.sleep(0)
        assert await by_key.by_id("a", contact.id) == contact
        ends = await asyncio.gather(*lost, return_exceptions=True)
        await client.close()
    assert [type(end) for end in ends] == [StoreTimeout]
