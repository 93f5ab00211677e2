"""Changes of contacts, and what somebody with a filter is told of one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from service.domain.contact import Contact
from service.domain.filters import ContactFilter


class Kind(Enum):
    """What happened to a contact."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One change: `after` is the position behind it, `read` gives the contact unless that is gone.

    Positions are texts that sort as the changes happened.
    """

    kind: Kind
    contact_id: str
    moment: datetime
    after: str
    size: int
    read: Callable[[], Contact] | None = None


class Interest:
    """What a watcher is told of: that a contact matches its filter, or that it does not any more."""

    def __init__(self, wanted: ContactFilter) -> None:
        self._wanted = wanted
        # What never changes: who does not match in these never did.
        self._lasting = ContactFilter(
            ids=wanted.ids,
            trusted=wanted.trusted,
            created_after=wanted.created_after,
            created_before=wanted.created_before,
        )

    def matches(self, kind: Kind, contact: Contact) -> bool | None:
        """Whether the contact matches now; None where the change is not told, since it never can have."""
        if self._wanted.matches(contact):
            return True
        was_there = kind is not Kind.CREATED and self._lasting.matches(contact)
        return False if was_there else None
