"""Many contacts quickly: written as documents, beside the service, in the form that the service keeps."""

from collections.abc import Iterable
from datetime import timedelta

from service.domain import ids
from service.domain.contact import Contact
from service.storage.connection import connect
from service.storage.documents import to_document
from service.storage.gate import Gate
from service.storage.store import Store

FIRST_MILLISECOND = 1_767_225_600_000  # 2026-01-01


async def fill(store: Store, account: str, count: int, size: int = 200) -> list[Contact]:
    """`count` contacts of about `size` bytes each, a millisecond apart, oldest first."""
    people = [person(account, number, size) for number in range(count)]
    for start in range(0, count, 5000):
        batch = [to_document(account, contact) for contact in people[start : start + 5000]]
        await store._contacts.insert_many(batch, ordered=False)
    return people


async def fill_database(
    mongodb_uri: str, database: str, accounts: Iterable[str], count: int, size: int = 200
) -> None:
    """The same for each of the accounts, of a service in another process."""
    store = Store(connect(mongodb_uri), database, Gate())
    # The service makes no indexes where it finds contacts.
    await store.prepare()
    for account in accounts:
        await fill(store, account, count, size)
    await store.close()


def person(account: str, number: int, size: int) -> Contact:
    contact_id = ids.lower_bound(account, FIRST_MILLISECOND + number)
    born = ids.created_at(contact_id)
    return Contact(
        id=contact_id,
        fingerprint=f"person:{number}",
        trusted=number % 2 == 0,
        updated_at=born + timedelta(seconds=number % 60),
        name=f"Person {number}",
        email=f"person{number % 100}@example.com",
        description="x" * max(0, size - 200),
        metadata={"plan": ("free", "pro")[number % 2], "visits": number % 10},
        verified_at=born if number % 2 == 0 else None,
    )
