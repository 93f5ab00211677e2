"""One deletion job as it is stored.

It holds account, id, times and counts, and while a batch is under way the `_id`s of its rows; nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from service.domain import deletion
from service.domain.deletion import CollectionCount, Receipt
from service.domain.links import Action, Link
from service.storage import clock
from service.storage.documents import Document


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that the owner of a job was about to clear."""

    link: Link
    row_ids: list[Any]

    @classmethod
    def of(cls, document: Document) -> Self:
        collection, account_field, contact_field, action = document["link"]
        return cls(Link(collection, account_field, contact_field, Action(action)), document["row_ids"])

    @property
    def document(self) -> Document:
        link = self.link
        names = [link.collection, link.account_field, link.contact_field, link.action.value]
        return {"link": names, "row_ids": self.row_ids}


@dataclass(frozen=True, slots=True)
class Job:
    """A job. `rev`: the contact goes only while it has this revision; None: whatever it has.

    `holders`: how many deletions may still remove the contact; None once it is gone.
    """

    account: str
    contact_id: str
    owner: str
    until: datetime
    started_at: datetime
    finished_at: datetime | None
    holders: int | None
    rev: int | None
    batch: Batch | None
    counts: tuple[CollectionCount, ...]

    @classmethod
    def of(cls, document: Document, links: Iterable[Link]) -> Self:
        """The job with the counts of all linked collections."""
        batch = document.get("batch")
        counts = [CollectionCount(**each) for each in document.get("counts", ())]
        return cls(
            account=document["account"],
            contact_id=document["_id"],
            owner=document.get("owner", ""),
            until=document.get("due_at", clock.now()),
            started_at=document["started_at"],
            finished_at=document.get("finished_at"),
            holders=document.get("holders"),
            rev=document.get("rev"),
            batch=Batch.of(batch) if batch else None,
            counts=deletion.listed(counts, links),
        )

    @property
    def counts_document(self) -> list[Document]:
        return [
            {"collection": each.collection, "deleted": each.deleted, "unlinked": each.unlinked}
            for each in self.counts
        ]

    @property
    def receipt(self) -> Receipt:
        return Receipt(self.contact_id, self.started_at, self.finished_at, self.counts)
