"""Requests without messages of protobuf: the compiled part reads and checks new contacts from their bytes."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from service.domain.contact import Draft
from service.native import compiled


class NewContactRequest(NamedTuple):
    """A CreateContactRequest or EnsureContactRequest, with a contact that breaks no rule."""

    contact: Draft
    request_id: str


def new_contact(raw: bytes) -> NewContactRequest | None:
    """None for what has to be read as a message, where Python's rules say what is wrong with it."""
    read = compiled.new_contact(raw)
    return NewContactRequest(Draft(*read[0]), read[1]) if read else None


SHORTCUTS: Mapping[str, Callable[[bytes], Any]] = (
    {"CreateContact": new_contact, "EnsureContact": new_contact} if compiled else {}
)
"""Of the methods that have one, by name."""
