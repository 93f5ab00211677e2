"""Rows of other services around a contact: written, counted, and hashed where they must stay as they are."""

import hashlib
from pathlib import Path
from typing import Any

import bson
from pymongo.asynchronous.database import AsyncDatabase

from service.domain.links import Action, Link

MESSAGES = Link("messages", "tenant", "people.contact", Action.CASCADE)
NOTES = Link("notes", "account", "contact", Action.CASCADE)
TASKS = Link("tasks", "account", "assignees", Action.UNLINK)
INVOICES = Link("invoices", "account", "customer", Action.RESTRICT)
LINKS = (MESSAGES, NOTES, TASKS, INVOICES)

Database = AsyncDatabase[dict[str, Any]]


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
