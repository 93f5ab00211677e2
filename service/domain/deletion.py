"""The receipt of a deletion: what went and when, without anything of the person."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """A finished deletion. Times are UTC in whole milliseconds."""

    contact_id: str
    started_at: datetime
    finished_at: datetime

    @property
    def id(self) -> str:
        """The deletion's own id; a contact is deleted once and its id never comes back, so it is derived."""
        return "dl_" + self.contact_id.removeprefix("ct_")
