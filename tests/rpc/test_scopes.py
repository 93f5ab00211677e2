"""Scopes: each RPC needs its own, and saying who somebody is needs one more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.rpc import auth, token_file
from service.rpc.auth import SCOPES
from service.rpc.server import SERVICE
from tests.client import Client, request

METHODS = [method.name for method in SERVICE.methods]
# As the contract has it; the requests are good ones, the id stands for a contact of the account.
NEEDED: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "CreateContact": ("write", lambda _: {"contact": {"name": "Bob"}}),
    "EnsureContact": ("write", lambda _: {"contact": {"name": "Bob"}}),
    "GetContact": ("read", lambda contact_id: {"id": contact_id}),
    "UpdateContact": ("write", lambda contact_id: {"contact": {"id": contact_id, "name": "Bob"}}),
    "DeleteContact": ("delete", lambda contact_id: {"id": contact_id}),
    "ListContacts": ("read", lambda _: {}),
    "ExportContacts": ("export", lambda _: {}),
    "BatchGetContacts": ("read", lambda contact_id: {"ids": [contact_id]}),
    "BatchEnsureContacts": ("write", lambda _: {"contacts": [{"name": "Bob"}]}),
    "BatchDeleteContacts": ("delete", lambda contact_id: {"ids": [contact_id]}),
    "CountContacts": ("read", lambda _: {}),
    "PurgeContacts": ("delete", lambda _: {"filter": {"trusted": False}, "force": True}),
    "WatchContacts": ("export", lambda _: {}),
    "ImportContacts": ("import", lambda _: {"contacts": [{"name": "Bob"}]}),
}

ClientWith = Callable[..., Client]


@pytest.fixture
def client_with(channel: grpc.aio.Channel, tokens: Path, account: str) -> ClientWith:
    """A client of the test's account with just these scopes."""
    return lambda *scopes: Client(channel, token_file.add(tokens, account, scopes), None)


async def succeeds(client: Client, method: str, fields: dict[str, Any]) -> None:
    if method in {"ExportContacts", "ImportContacts"}:
        call = client.unary(method)(request(method, **fields), metadata=client.metadata)
        assert [message async for message in call]
    elif method == "WatchContacts":
        async with client.watch(**fields) as watch:
            assert await watch.read()
    else:
        await client.call(method, **fields)


def test_every_rpc_has_a_scope() -> None:
    """An RPC of the descriptor that is not in this table fails here."""
    assert NEEDED.keys() == set(METHODS)


def test_the_table_of_scopes_is_that_of_the_service() -> None:
    """Every RPC of the descriptor has an entry, no entry is of an RPC that is none, each asks for the one."""
    assert {name: set(scopes) for name, scopes in auth.RPC_SCOPES.items()} == {
        name: {scope} for name, (scope, _) in NEEDED.items()
    }


@pytest.mark.parametrize("method", METHODS)
async def test_the_scope_of_an_rpc_is_enough(client: Client, client_with: ClientWith, method: str) -> None:
    """With the one scope alone the call is answered."""
    contact = await client.create(name="Ann")
    scope, fields = NEEDED[method]
    await succeeds(client_with(scope), method, fields(contact.id))


@pytest.mark.parametrize("method", METHODS)
async def test_without_its_scope_an_rpc_is_refused(
    client: Client, client_with: ClientWith, method: str
) -> None:
    """All other scopes together are not enough: SCOPE_MISSING names the one, and nothing has changed."""
    contact = await client.create(name="Ann")
    scope, fields = NEEDED[method]
    others = client_with(*(each for each in SCOPES if each != scope))
    for contact_id in (contact.id, "nonsense", ""):
        failed = await others.failure(method, **fields(contact_id))
        assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
        assert failed.metadata == {"scope": scope}
    assert await client.list() == ([contact], "")


@pytest.mark.parametrize("method", ["CreateContact", "EnsureContact"])
async def test_a_fingerprint_needs_trust(client: Client, client_with: ClientWith, method: str) -> None:
    """Supplying one without the scope is refused, also where the contact exists; with it, it is answered."""
    known = await client.create(fingerprint="known")
    writer, trusting = client_with("write"), client_with("write", "trust")
    for fingerprint in ("known", "new"):
        failed = await writer.failure(method, contact={"fingerprint": fingerprint, "name": "Eve"})
        assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
        assert failed.metadata == {"scope": "trust"}
    assert await client.list() == ([known], "")
    answer = await trusting.call(method, contact={"fingerprint": "known"})
    assert (answer.contact, answer.created) == (known, False)


async def test_one_fingerprint_of_a_batch_needs_trust(client: Client, client_with: ClientWith) -> None:
    """Without the scope the batch is refused as a whole, and nobody of it is created."""
    people = [{"name": "Bob"}, {"fingerprint": "new"}]
    failed = await client_with("write").failure("BatchEnsureContacts", contacts=people)
    assert (failed.reason, failed.metadata) == ("SCOPE_MISSING", {"scope": "trust"})
    assert await client.list() == ([], "")
    answer = await client_with("write", "trust").call("BatchEnsureContacts", contacts=people)
    assert [outcome.created for outcome in answer.outcomes] == [True, True]


@pytest.mark.parametrize("born", [{"fingerprint": "known"}, {}], ids=["trusted", "untrusted"])
@pytest.mark.parametrize("mask", [[], ["fingerprint", "name"], ["*"]], ids=str)
async def test_changing_a_fingerprint_needs_trust(
    client: Client, client_with: ClientWith, born: dict[str, Any], mask: list[str]
) -> None:
    """Another fingerprint is refused with nothing applied, of either class; with the scope it is written."""
    contact = await client.create(**born, name="Ann")
    writer, trusting = client_with("write"), client_with("write", "trust")
    sent = {"id": contact.id, "fingerprint": "other", "name": "Eve"}
    fields = {"update_mask": ",".join(mask)} if mask else {}
    failed = await writer.failure("UpdateContact", contact=sent, **fields)
    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert failed.metadata == {"scope": "trust"}
    assert await client.get(contact.id) == contact
    assert (await trusting.update(sent, *mask)).fingerprint == "other"


@pytest.mark.parametrize("mask", [[], ["fingerprint", "name"], ["*"]], ids=str)
async def test_an_equal_fingerprint_needs_no_trust(
    client: Client, client_with: ClientWith, mask: list[str]
) -> None:
    """What was read can be sent back by anybody who may write, also one that the service gave out."""
    writer = client_with("write")
    for contact in (await client.create(fingerprint="known"), (await client.ensure(name="Ann"))[0]):
        sent = {"id": contact.id, "fingerprint": contact.fingerprint, "name": "Bob"}
        assert (await writer.update(sent, *mask)).name == "Bob"


async def test_a_fingerprint_outside_the_mask_needs_no_trust(client: Client, client_with: ClientWith) -> None:
    """What is not written is not said."""
    contact = await client.create(fingerprint="known")
    sent = {"id": contact.id, "fingerprint": "other", "name": "Bob"}
    changed = await client_with("write").update(sent, "name")
    assert (changed.fingerprint, changed.name) == ("known", "Bob")


async def test_a_filter_by_fingerprint_needs_no_trust(client: Client, client_with: ClientWith) -> None:
    """Reading is not saying: the scopes of the reader suffice."""
    contact = await client.create(fingerprint="known")
    reader = client_with("read", "export")
    assert await reader.list(filter={"fingerprints": ["known"]}) == ([contact], "")
    *_, last = [message async for message in reader.export(filter={"fingerprints": ["known"]})]
    assert last.summary.records == 1
