"""Rows of other services around a contact: written, counted, hashed where they must stay; and a replica."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bson
from pymongo.asynchronous.database import AsyncDatabase

from service.domain.contact import Draft
from service.domain.deletion import Receipt, Rules
from service.domain.links import Action, Link
from service.storage.gate import Gate
from service.storage.store import Store

MESSAGES = Link("messages", "tenant", "people.contact", Action.CASCADE)
NOTES = Link("notes", "account", "contact", Action.CASCADE)
TASKS = Link("tasks", "account", "assignees", Action.UNLINK)
INVOICES = Link("invoices", "account", "customer", Action.RESTRICT)
LINKS = (MESSAGES, NOTES, TASKS, INVOICES)

Database = AsyncDatabase[dict[str, Any]]


@asynccontextmanager
async def replica(database: Database, **rules: Any) -> AsyncIterator[Store]:
    """A store with links, as another replica on the database has it; without a sweeper of its own accord."""
    wanted = Rules(**{"links": LINKS, "batch_rows": 3} | rules)
    store = Store(database.client, database.name, Gate(), rules=wanted)
    await store.prepare()
    yield store
    await store._deletions.stop()


async def swept(store: Store) -> None:
    """One look of the sweeper, and the end of what it began."""
    await store.sweeper.look()
    while store._deletions._working:
        await asyncio.wait(store._deletions._working)


def counts(receipt: Receipt | None) -> dict[str, tuple[int, int]]:
    """Deleted and unlinked rows of each collection."""
    assert receipt
    return {each.collection: (each.deleted, each.unlinked) for each in receipt.collections}


async def contact_of(store: Store, account: str) -> str:
    """The id of a new contact."""
    return (await store.create(account, Draft(name="Ann")))[0].id


def toml(*links: Link) -> str:
    return "\n".join(
        f"[[linked]]\ncollection = '{link.collection}'\naccount_field = '{link.account_field}'\n"
        f"contact_field = '{link.contact_field}'\naction = '{link.action}'"
        for link in links
    )


def linked_file(folder: Path, *links: Link) -> Path:
    """What --linked takes."""
    file = folder / "linked.toml"
    file.write_text(toml(*links))
    return file


async def link_rows(database: Database, account: str, contact_id: str, count: int, text: str = "") -> None:
    """`count` messages, notes and tasks that name the contact, each with the text."""
    numbers = range(count)
    await database.messages.insert_many(
        [
            {
                "tenant": account,
                "people": [{"contact": contact_id}, {"contact": "x"}],
                "text": text,
                "n": number,
            }
            for number in numbers
        ]
    )
    await database.notes.insert_many(
        [{"account": account, "contact": contact_id, "text": text, "n": number} for number in numbers]
    )
    await database.tasks.insert_many(
        [{"account": account, "assignees": [contact_id, "somebody"], "n": number} for number in numbers]
    )


async def named(database: Database, contact_id: str) -> int:
    """How many rows of whatever account name the contact and should not, after its deletion."""
    return sum(
        [
            await database[link.collection].count_documents({link.contact_field: contact_id})
            for link in (MESSAGES, NOTES, TASKS)
        ]
    )


async def hashed(database: Database, but: str) -> str:
    """A hash over all rows and contacts of other accounts than `but`, byte for byte."""
    digest = hashlib.sha256()
    for name in ("contacts", *(link.collection for link in LINKS)):
        field = "tenant" if name == "messages" else "account"
        async for row in database[name].find({field: {"$ne": but}}).sort("_id"):
            digest.update(bson.encode(row))
    return digest.hexdigest()
