"""Which RPCs are audited, and which contacts their requests and answers name. Nothing of a person."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from service.domain import births, ids
from service.domain.errors import ServiceError, StoreUnavailable

# The id in the request of what is written or deleted; none where the answer has it, or there are many.
NAMED: Mapping[str, Callable[[Any], str]] = {
    "CreateContact": lambda _: "",
    "EnsureContact": lambda _: "",
    "UpdateContact": lambda request: str(request.contact.id),
    "DeleteContact": lambda request: str(request.id),
    "ExportContacts": lambda _: "",
    "WatchContacts": lambda _: "",
    "BatchEnsureContacts": lambda _: "",
    "BatchDeleteContacts": lambda _: "",
    "PurgeContacts": lambda _: "",
    "ImportContacts": lambda _: "",
}
# Of these each contact has a line of its own.
MANY = frozenset({"BatchEnsureContacts", "BatchDeleteContacts", "PurgeContacts"})


class Born(NamedTuple):
    """An answer with a contact, and the id of that if it is new: else nothing was written."""

    answer: bytes
    contact_id: str | None


@dataclass(slots=True)
class Item:
    """What became of one contact of many; `happened` is whether there is anything to tell."""

    contact_id: str | None
    code: str = "INTERNAL"
    reason: str | None = "INTERNAL"
    happened: bool = True


# Of the call of many that the current task works on.
items: ContextVar[list[Item]] = ContextVar("items")


@contextmanager
def item(contact_id: str | None = None) -> Iterator[Item]:
    """Around the work on one of many: it is told in a line of its own, however it ends."""
    told = Item(contact_id)
    try:
        yield told
        told.code, told.reason = "OK", None
    except ServiceError as error:
        told.code, told.reason = error.code, error.reason
        if isinstance(error, StoreUnavailable) and not error.asked:
            told.happened = False
        raise
    except asyncio.CancelledError:
        told.code, told.reason = "CANCELLED", None
        raise
    finally:
        if told.happened:
            told.contact_id = told.contact_id or births.asked.get()
            items.get().append(told)


def shown(contact_id: str | None) -> str | None:
    """The id if it is one: what is not, a caller wrote, and it may be anything."""
    return contact_id if contact_id and ids.is_wellformed(contact_id) else None
