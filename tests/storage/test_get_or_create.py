"""Get-or-create under concurrency: one birth, no harm by a cancelled rival, everybody's own writes seen."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient, MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from service.domain.contact import Draft
from service.domain.errors import ContactNotFound
from service.domain.update import Change
from service.storage.gate import Gate
from service.storage.store import Store
from tests.storage.conftest import Stored

ANN = Draft(name="Ann", email="ann@example.com")
KEYED = Draft(fingerprint="oauth|1", name="Ann")


class Inserted(CommandListener):
    """How many documents were sent to be inserted into contacts."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: CommandStartedEvent) -> None:
        if event.command.get("insert") == "contacts":
            self.count += len(event.command["documents"])

    def succeeded(self, event: CommandSucceededEvent) -> None: ...
    def failed(self, event: CommandFailedEvent) -> None: ...


@pytest.fixture
def inserted() -> Inserted:
    return Inserted()


@pytest_asyncio.fixture(params=[True, False], ids=["batching", "one by one"])
async def store(
    request: pytest.FixtureRequest, mongodb_uri: str, stored: Stored, inserted: Inserted
) -> AsyncIterator[Store]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb_uri, event_listeners=[inserted])
    store = Store(client, stored.database.name, Gate(), batching=request.param)
    await store.prepare()
    yield store
    await store.close()


@pytest.mark.parametrize("draft", [ANN, KEYED], ids=["derived", "supplied"])
@pytest.mark.parametrize("method", ["ensure", "create"])
async def test_concurrent_callers_send_one_insert(
    store: Store, inserted: Inserted, draft: Draft, method: str
) -> None:
    """Of 64 callers of one process one creates; the others wait for it and read, instead of losing races."""
    if method == "create" and not draft.fingerprint:
        calls = [store.create("a", draft, "request-1") for _ in range(64)]
    else:
        calls = [getattr(store, method)("a", draft) for _ in range(64)]
    found = await asyncio.gather(*calls)
    assert len({contact.id for contact, _ in found}) == 1
    assert sum(created for _, created in found) == 1
    assert inserted.count == 1


async def test_a_cancelled_birth_hurts_nobody(store: Store, stored: Stored) -> None:
    """The caller that creates goes away at any moment: the others get one and the same contact."""
    for turns in range(30):
        draft = Draft(fingerprint=f"oauth|{turns}")
        calls = [asyncio.create_task(store.ensure("a", draft)) for _ in range(5)]
        for _ in range(turns):
            await asyncio.sleep(0)
        calls[0].cancel()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        ids = {end[0].id for end in ends if isinstance(end, tuple)}
        assert len(ids) == 1
        assert await stored.database["contacts"].count_documents({"fingerprint": draft.fingerprint}) == 1


async def test_everybody_reads_their_own_writes(store: Store) -> None:
    """While others read the same contacts all the time: what a call has written, the next call finds."""
    contacts = [(await store.create("a", Draft(name="0")))[0] for _ in range(4)]
    done = asyncio.Event()

    async def reader(contact_id: str) -> None:
        while not done.is_set():
            await store.get("a", contact_id)

    async def writer(contact_id: str) -> None:
        for turn in range(1, 30):
            change = Change(Draft(name=str(turn)), frozenset({"name"}))
            changed = await store.update("a", contact_id, change)
            assert await store.get("a", contact_id) == changed

    readers = [asyncio.create_task(reader(contact.id)) for contact in contacts for _ in range(8)]
    await asyncio.gather(*(writer(contact.id) for contact in contacts))
    done.set()
    await asyncio.gather(*readers)


async def test_a_contact_that_cannot_be_written_fails_its_own_caller(store: Store) -> None:
    """A text that is no Unicode is refused before the others of its batch are sent."""
    names = ["0", "1", "\ud800", "3"]
    calls = [store.create("a", Draft(name=name)) for name in names]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(ends.pop(2), UnicodeEncodeError)
    assert [stored.contact.name for stored, created in ends if created] == ["0", "1", "3"]


async def test_a_deleted_person_comes_back_as_a_new_one(store: Store) -> None:
    """Ensure after a delete that has returned makes another contact, whatever others do with it meanwhile."""
    for turn in range(10):
        draft = Draft(fingerprint=f"oauth|{turn}")
        contact, _ = await store.ensure("a", draft)
        rivals = [asyncio.create_task(store.ensure("a", draft)) for _ in range(8)]
        await store.delete("a", contact.id)
        again, _ = await store.ensure("a", draft)
        assert again.id != contact.id
        await asyncio.gather(*rivals)
        with pytest.raises(ContactNotFound):
            await store.get("a", contact.id)


@pytest.mark.parametrize("method", ["ensure", "create"])
async def test_a_contact_whose_insert_is_told_as_refused_is_created_all_the_same(
    mongodb_uri: str, stored: Stored, method: str
) -> None:
    """As when a batch was written in part and is sent again: the first caller creates, and nobody else."""

    class WrittenBefore(Inserted):
        def started(self, event: CommandStartedEvent) -> None:
            if event.command.get("insert") == "contacts":
                beside[stored.database.name].contacts.insert_many(event.command["documents"])
            super().started(event)

    sent = WrittenBefore()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb_uri, event_listeners=[sent])
    with MongoClient[dict[str, Any]](mongodb_uri) as beside:
        store = Store(client, stored.database.name, Gate())
        await store.prepare()
        first, created = await getattr(store, method)("a", KEYED)
        again, created_again = await getattr(store, method)("a", KEYED)
        await store.close()
    assert (created, created_again) == (True, False)
    assert first.id == again.id
    assert await stored.database.contacts.count_documents({}) == 1
