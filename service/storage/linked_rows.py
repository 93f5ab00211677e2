"""Rows of other services that name a contact: counted, listed, removed or unlinked, by account and contact.

Knows nothing of jobs. Every query names account and contact; texts are compared byte by byte, whatever
collation a collection has.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bson.codec_options import DatetimeConversion
from pymongo import ReadPreference
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.collation import Collation
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from service.domain import links
from service.domain.errors import DeleteRestricted, StoreUnavailable
from service.domain.links import Action, Link, LinksInvalid
from service.storage import indexes, unlinking
from service.storage.documents import OPTIONS, Document
from service.storage.gate import Gate, untold

log = logging.getLogger(__name__)

T = TypeVar("T")

# The `_id`s of others: a date past the year 9999 comes as a number that goes back as it came.
ANY_ID = OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)

_MOST_COUNTED = 10_000
_REMINDER_SECONDS = 60.0
_BYTEWISE = Collation("simple")


class LinkedFileInvalid(Exception):
    """--linked names a file that cannot be used; the sentence says where it is wrong."""


def read(file: Path) -> tuple[Link, ...]:
    """The links of a file; raises LinkedFileInvalid."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LinkedFileInvalid(f"--linked {file}: cannot be read as text") from error
    try:
        return links.parsed(text, indexes.OWN_COLLECTIONS)
    except LinksInvalid as error:
        raise LinkedFileInvalid(f"--linked {file}: {error}") from error


class LinkedRows:
    """The linked collections of one database. Which of them refuses is told in the log, once a minute."""

    def __init__(self, database: AsyncDatabase[Document], gate: Gate, configured: tuple[Link, ...]) -> None:
        self._database = database
        self._gate = gate
        self._links = configured
        self._restricting = [link for link in configured if link.action == Action.RESTRICT]
        self._told: dict[str, float] = {}
        self.cleared = tuple(link for link in configured if link.action != Action.RESTRICT)

    async def check_unrestricted(self, account: str, contact_id: str) -> None:
        """Raises DeleteRestricted for the first link whose rows forbid that the contact goes."""
        for link in self._restricting:
            if rows := await self._count(link, account, contact_id):
                raise DeleteRestricted(link.collection, rows)

    async def some(self, link: Link, account: str, contact_id: str, most: int) -> list[Any]:
        """The `_id`s of up to `most` rows that name the contact, also of those no majority holds yet."""
        rows, named = self._rows(link), _naming(link, account, contact_id)
        found = self._run(
            link,
            lambda: rows.find(named, ["_id"], limit=most, batch_size=most + 1, collation=_BYTEWISE).to_list(),
        )
        return [row["_id"] for row in await found]

    async def any(self, account: str, contact_ids: list[str]) -> bool:
        """Whether a row that a deletion clears names one of the contacts."""
        for link in self.cleared:
            rows = self._rows(link)
            named = _naming(link, account, {"$in": contact_ids})
            if await self._run(link, partial(rows.find_one, named, ["_id"], collation=_BYTEWISE)):
                return True
        return False

    async def clear(self, link: Link, account: str, contact_id: str, row_ids: list[Any]) -> int:
        """Removes or unlinks those of the rows that still name the contact; how many that were."""
        rows = self._rows(link)
        named = _naming(link, account, contact_id) | {"_id": {"$in": row_ids}}
        if link.action == Action.CASCADE:
            removed = await self._run(link, lambda: rows.delete_many(named, collation=_BYTEWISE))
            return removed.deleted_count
        change = unlinking.without(link.contact_field, contact_id)
        changed = await self._run(link, lambda: rows.update_many(named, change, collation=_BYTEWISE))
        return changed.modified_count

    async def count_there(self, link: Link, account: str, row_ids: list[Any]) -> int:
        """How many of the rows exist, whatever they name."""
        there = {link.account_field: account, "_id": {"$in": row_ids}}
        rows = self._rows(link)
        return await self._run(link, lambda: rows.count_documents(there, collation=_BYTEWISE))

    async def unindexed(self) -> list[str]:
        """For each link whose rows could only be found by reading a whole collection: how to mend that."""
        commands = []
        for link in self._links:
            rows = self._rows(link)
            found: Mapping[str, Any] = await self._run(link, rows.index_information)
            if not any(_serves(index, link) for index in found.values()):
                commands.append(
                    f"db.getCollection({link.collection!r}).createIndex("
                    f"{{{link.account_field!r}: 1, {link.contact_field!r}: 1}})"
                )
        return commands

    async def _count(self, link: Link, account: str, contact_id: str) -> int:
        rows, named = self._rows(link), _naming(link, account, contact_id)
        return await self._run(
            link, lambda: rows.count_documents(named, limit=_MOST_COUNTED, collation=_BYTEWISE)
        )

    async def _run(self, link: Link, operation: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._gate.run(operation)
        except (StoreUnavailable, PyMongoError) as error:
            if cause := untold(error):
                self._remind(link, cause)
            raise

    def _remind(self, link: Link, cause: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told.get(link.collection, float("-inf")) >= _REMINDER_SECONDS:
            self._told[link.collection] = now
            log.warning("a linked collection refuses", extra={"collection": link.collection, "error": cause})

    def _rows(self, link: Link) -> AsyncCollection[Document]:
        return self._database.get_collection(
            link.collection,
            codec_options=ANY_ID,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("local"),
        )


def _naming(link: Link, account: str, contact: str | Document) -> Document:
    return {link.account_field: account, link.contact_field: contact}


def _serves(index: Mapping[str, Any], link: Link) -> bool:
    keys = [name for name, _ in index["key"]]
    by_contact = keys[0] == link.contact_field
    by_both = set(keys[:2]) == {link.account_field, link.contact_field}
    return (by_contact or by_both) and not index.get("partialFilterExpression") and not index.get("collation")
