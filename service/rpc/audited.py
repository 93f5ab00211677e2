"""Which RPCs are audited, and which contacts their requests and answers name. Nothing of a person."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from service.domain import ids

# The id in the request of what is written or deleted; none where the answer has it, or there are many.
NAMED: Mapping[str, Callable[[Any], str]] = {
    "CreateContact": lambda _: "",
    "EnsureContact": lambda _: "",
    "UpdateContact": lambda request: str(request.contact.id),
    "DeleteContact": lambda request: str(request.id),
    "ExportContacts": lambda _: "",
}


class Born(NamedTuple):
    """An answer with a contact, and the id of that if it is new: else nothing was written."""

    answer: bytes
    contact_id: str | None


def shown(contact_id: str | None) -> str | None:
    """The id if it is one: what is not, a caller wrote, and it may be anything."""
    return contact_id if contact_id and ids.is_wellformed(contact_id) else None
