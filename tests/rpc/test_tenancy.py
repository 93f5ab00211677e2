"""Accounts are apart: no RPC sees, changes or learns anything of another account. Each RPC has a case."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from service.rpc.server import SERVICE
from tests.client import Client
from tests.rpc.item_end import FOREIGN, ItemEnd

METHODS = [method.name for method in SERVICE.methods]
SHARED: dict[str, Any] = {
    "fingerprint": "shared",
    "name": "Ann",
    "email": "ann@example.com",
    "phone": "1",
    "metadata": {"plan": "pro"},
}


@pytest.fixture
def stranger(channel: grpc.aio.Channel, any_token: str, account: str) -> Client:
    """Calls of another account, with all scopes."""
    return Client(channel, any_token, account + "-b")


async def create_meets_nobody(owner: Client, stranger: Client) -> None:
    """Neither fingerprint nor request id nor id reaches into the other account."""
    theirs = await owner.create(**SHARED)
    retried = await owner.create(request_id="r")
    mine = await stranger.call("CreateContact", contact=SHARED | {"id": theirs.id})
    guest = await stranger.call("CreateContact", request_id="r", contact={"id": retried.id})
    assert mine.created
    assert guest.created
    assert len({theirs.id, retried.id, mine.contact.id, guest.contact.id}) == 4


async def ensure_meets_nobody(owner: Client, stranger: Client) -> None:
    """Neither a fingerprint nor the same name and address reaches into the other account."""
    for person in (SHARED, {"name": "Ann", "email": "ann@example.com"}):
        theirs, _ = await owner.ensure(**person)
        mine, created = await stranger.ensure(**person)
        assert created
        assert mine.id != theirs.id


async def update_takes_no_foreign_fingerprint(owner: Client, stranger: Client) -> None:
    """A fingerprint that is taken elsewhere is free here."""
    await owner.create(**SHARED)
    mine = await stranger.create(fingerprint="mine")
    changed = await stranger.update({"id": mine.id, "fingerprint": "shared"})
    assert changed.fingerprint == "shared"


async def get_shows_only_own(owner: Client, stranger: Client) -> None:
    """An own contact with the same fields is shown, and is another one."""
    theirs, mine = await owner.create(**SHARED), await stranger.create(**SHARED)
    assert (await stranger.get(mine.id)).id != theirs.id


async def delete_takes_only_own(owner: Client, stranger: Client) -> None:
    """Deleting the own contact leaves the one with the same fingerprint in the other account."""
    theirs, mine = await owner.create(**SHARED), await stranger.create(**SHARED)
    await stranger.call("DeleteContact", id=mine.id)
    assert await owner.get(theirs.id) == theirs


SEARCHES: list[dict[str, Any]] = [
    {},
    {"fingerprints": ["shared"]},
    {"emails": ["ann@example.com"]},
    {"phones": ["1"]},
    {"metadata": {"plan": "pro"}},
    {"metadata_exists": ["plan"]},
    {"trusted": True},
    {"verified": True},
    {"created_after": "0001-01-01T00:00:00Z", "created_before": "9999-12-31T23:59:59Z"},
    {"updated_after": "0001-01-01T00:00:00Z"},
]


async def list_shows_only_own(owner: Client, stranger: Client) -> None:
    """Whatever the filter: only own contacts, and a page token of the other account is refused."""
    for _ in range(2):
        await owner.create(name="Ann")
    await owner.create(**SHARED)
    for terms in SEARCHES:
        assert await stranger.list(filter=terms) == ([], "")
    mine = await stranger.create(**SHARED)
    for terms in SEARCHES:
        assert await stranger.list(filter=terms) == ([mine], "")
    _, token = await owner.list(page_size=1)
    assert (await stranger.failure("ListContacts", page_token=token)).reason == "PAGE_TOKEN_MISMATCH"


async def export_shows_only_own(owner: Client, stranger: Client) -> None:
    """Whatever the filter: only own contacts, and resume tokens of the other account are refused."""

    async def exported(client: Client, **fields: Any) -> list[Contact]:
        parts = [part async for part in client.export(format="EXPORT_FORMAT_CONTACTS", **fields)]
        return [contact for part in parts for contact in part.contacts.contacts]

    await owner.create(**SHARED)
    mine = await stranger.create(**SHARED)
    for terms in SEARCHES:
        assert await exported(stranger, filter=terms) == [mine]
    tokens = {part.resume_token async for part in owner.export(max_records="1")} - {""}
    assert tokens
    for token in tokens:
        refused = await stranger.failure("ExportContacts", resume_token=token)
        assert refused.reason == "PAGE_TOKEN_MISMATCH"


async def batch_get_shows_only_own(owner: Client, stranger: Client) -> None:
    """An own contact among foreign ids is shown, and they tell nothing."""
    theirs, mine = await owner.create(**SHARED), await stranger.create(**SHARED)
    first, second = (await stranger.call("BatchGetContacts", ids=[theirs.id, mine.id])).outcomes
    assert ItemEnd.of(first.error) == FOREIGN
    assert second.contact == mine


async def batch_ensure_meets_nobody(owner: Client, stranger: Client) -> None:
    """The same people in both accounts are others."""
    people = [SHARED, {"name": "Ann", "email": "ann@example.com"}]
    theirs = (await owner.call("BatchEnsureContacts", contacts=people)).outcomes
    mine = (await stranger.call("BatchEnsureContacts", contacts=people)).outcomes
    assert all(outcome.created for outcome in mine)
    assert len({outcome.contact.id for outcome in (*theirs, *mine)}) == 4


async def batch_delete_takes_only_own(owner: Client, stranger: Client) -> None:
    """An own contact among foreign ids is deleted, and nobody else."""
    theirs, mine = await owner.create(**SHARED), await stranger.create(**SHARED)
    for missing in (False, True):
        fields = {"ids": [theirs.id, mine.id], "allow_missing": missing}
        first, second = (await stranger.call("BatchDeleteContacts", **fields)).outcomes
        assert ItemEnd.of(first.error) == FOREIGN
        assert second.HasField("receipt")
    assert await stranger.list() == ([], "")
    assert await owner.get(theirs.id) == theirs


async def count_counts_only_own(owner: Client, stranger: Client) -> None:
    """Whatever the filter."""
    await owner.create(**SHARED)
    for expected in (0, 1):
        for terms in SEARCHES:
            assert (await stranger.call("CountContacts", filter=terms)).count == expected
        await stranger.create(**SHARED)


async def purge_takes_only_own(owner: Client, stranger: Client) -> None:
    """Whatever the filter."""
    theirs = await owner.create(**SHARED)
    for terms in SEARCHES:
        if terms:
            await stranger.create(**SHARED)
            assert (await stranger.call("PurgeContacts", filter=terms)).count == 1
            assert (await stranger.call("PurgeContacts", filter=terms, force=True)).count == 1
    assert await owner.get(theirs.id) == theirs


async def watch_shows_only_own(owner: Client, stranger: Client) -> None:
    """Whatever the filter: only own changes, deletions too, and tokens of the other account are refused."""
    async with owner.watch() as theirs, stranger.watch() as mine:
        tokens = {(await watch.read()).resume_token for watch in (theirs, mine)}
        foreign = await owner.create(**SHARED)
        await owner.call("DeleteContact", id=foreign.id)
        own = await stranger.create(**SHARED)
        assert (await mine.read()).change.id == own.id
        assert (await theirs.read()).change.id == foreign.id
    assert len(tokens) == 2
    refused = await stranger.failure("WatchContacts", resume_token=await token_of(owner))
    assert refused.reason == "PAGE_TOKEN_MISMATCH"


async def token_of(client: Client) -> str:
    async with client.watch() as watch:
        return str((await watch.read()).resume_token)


async def import_meets_nobody(owner: Client, stranger: Client) -> None:
    """An export of the other account is refused row by row; without ids its people are others."""
    theirs = await owner.create(**SHARED)
    refused, mine = await stranger.load(
        [theirs, SHARED | {"trusted": True}], conflict="IMPORT_CONFLICT_MERGE"
    )
    assert ItemEnd.of(refused.error) == FOREIGN
    assert mine.result == pb.IMPORT_RESULT_CREATED
    assert await owner.list() == ([theirs], "")


CASES: dict[str, Callable[[Client, Client], Awaitable[None]]] = {
    "CreateContact": create_meets_nobody,
    "EnsureContact": ensure_meets_nobody,
    "GetContact": get_shows_only_own,
    "UpdateContact": update_takes_no_foreign_fingerprint,
    "DeleteContact": delete_takes_only_own,
    "ListContacts": list_shows_only_own,
    "ExportContacts": export_shows_only_own,
    "BatchGetContacts": batch_get_shows_only_own,
    "BatchEnsureContacts": batch_ensure_meets_nobody,
    "BatchDeleteContacts": batch_delete_takes_only_own,
    "CountContacts": count_counts_only_own,
    "PurgeContacts": purge_takes_only_own,
    "WatchContacts": watch_shows_only_own,
    "ImportContacts": import_meets_nobody,
}


def test_every_rpc_has_its_case() -> None:
    """An RPC of the descriptor without a case fails here."""
    assert CASES.keys() == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
async def test_an_rpc_stays_in_its_account(client: Client, stranger: Client, method: str) -> None:
    """What two accounts have in common keeps them as far apart as what they have not."""
    await CASES[method](client, stranger)
