"""Filters from outside: List and Export agree with each other and with a model, for any filter."""

from typing import Any

import pytest_asyncio
from hypothesis import HealthCheck, given, settings

from contactservice.v1.contact_pb2 import CONTACT_ORDER_OLDEST_FIRST
from service.rpc import messages
from service.rpc.server import Server
from service.storage.documents import to_document
from tests import crowd
from tests.client import Client, request
from tests.people import fill

# One account for all examples: the crowd is written once and does not change.
ACCOUNT = "filters-crowd"
shared = [HealthCheck.function_scoped_fixture]
lawful = settings(max_examples=100, deadline=None, suppress_health_check=shared)


@pytest_asyncio.fixture
async def crowded(server: Server, client: Client) -> Client:
    """Calls as the account of the crowd; other accounts hold people of the same kind."""
    contacts = server.store._contacts
    if await contacts.find_one({"account": ACCOUNT}) is None:
        people = [(account, person) for account in (ACCOUNT, "filters-b") for person in crowd.crowd(account)]
        await contacts.insert_many([to_document(account, person) for account, person in people])
    client.metadata[1] = ("x-account-id", ACCOUNT)
    return client


async def listed(client: Client, **fields: Any) -> list[str]:
    """All pages of a list, of a size that does not divide anything."""
    found, token = await client.list(page_size=7, **fields)
    while token:
        page, token = await client.list(page_size=7, page_token=token, **fields)
        assert page, "a page behind a token is never empty on an unchanged set"
        found += page
    return [contact.id for contact in found]


async def exported(client: Client, **fields: Any) -> list[str]:
    parts = [part async for part in client.export(format="EXPORT_FORMAT_CONTACTS", **fields)]
    return [contact.id for part in parts for contact in part.contacts.contacts]


@lawful
@given(sent=crowd.filters(ACCOUNT))
async def test_list_export_and_model_agree(crowded: Client, sent: dict[str, Any]) -> None:
    """Any combination of terms, hostile keys and values among them: the same contacts three times."""
    asked = messages.selection(ACCOUNT, request("ListContacts", filter=sent), CONTACT_ORDER_OLDEST_FIRST)
    model = [contact.id for contact in crowd.crowd(ACCOUNT) if asked.filter.matches(contact)]
    assert await exported(crowded, filter=sent) == model
    assert await listed(crowded, filter=sent) == model[::-1]
    assert await listed(crowded, filter=sent, order="CONTACT_ORDER_OLDEST_FIRST") == model


async def test_a_page_holds_a_thousand(server: Server, client: Client, account: str) -> None:
    """A page of 1000 is whole, and one more contact makes a second page."""
    await fill(server.store, account, count=1001)
    page, token = await client.list(page_size=1000)
    assert len(page) == 1000
    rest, end = await client.list(page_size=1000, page_token=token)
    assert (len(rest), end) == (1, "")
