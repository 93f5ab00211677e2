"""What both clients do with contacts, on the session's real server."""

import inspect
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import contactservice
from contactservice import (
    AsyncContactClient,
    CallerRefused,
    ContactClient,
    ContactNotFound,
    EtagMismatch,
    FingerprintTaken,
    InvalidRequest,
)
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact, ContactFilter
from service.rpc import token_file
from service.rpc.server import SERVICE, Server
from tests.clients.either import Either

METHODS = {
    "CreateContact": "create",
    "EnsureContact": "ensure",
    "GetContact": "get",
    "UpdateContact": "update",
    "DeleteContact": "delete",
    "ListContacts": "list",
    "ExportContacts": "export",
    "BatchGetContacts": "batch_get",
    "BatchEnsureContacts": "batch_ensure",
    "BatchDeleteContacts": "batch_delete",
    "CountContacts": "count",
    "PurgeContacts": "purge",
    "WatchContacts": "watch",
}


# What a program loads comes from a file that it reads its own way: examples/import_file.py is the recipe.
ON_STUBS = {"ImportContacts"}


def test_every_rpc_has_a_method(kind: Any) -> None:
    """A new RPC has to be added to the clients, or named among those that are called by the stubs."""
    assert {method.name for method in SERVICE.methods} - ON_STUBS == METHODS.keys()
    assert all(callable(getattr(kind, name)) for name in METHODS.values())


@pytest.mark.parametrize("name", [*METHODS.values(), "export_to_file"])
def test_methods_are_documented(kind: Any, name: str) -> None:
    """Name, sentence and arguments, as `help` shows them."""
    method = getattr(kind, name)
    assert method.__name__ == name
    assert method.__doc__
    assert next(iter(inspect.signature(method).parameters)) == "self"
    assert "kwargs" not in inspect.signature(method).parameters


async def test_a_contact_from_birth_to_death(contacts: Either) -> None:
    """Create, ensure, get, update and delete answer with what the service keeps."""
    born = await contacts.ensure(
        name="Ann", email="ann@example.com", metadata={"plan": "pro", "tags": [1, None]}
    )
    assert born.created
    again = await contacts.ensure(Contact(name="ann", email="Ann@Example.com"))
    assert (again.created, again.contact) == (False, born.contact)
    contact_id = born.contact.id
    assert await contacts.get(contact_id) == born.contact
    await contacts.update(contact_id, nickname="Annie", email=None, metadata={"plan": None})
    seen = await contacts.get(contact_id)
    assert (seen.nickname, seen.email, seen.name, dict(seen.metadata)["tags"][0]) == ("Annie", "", "Ann", 1)
    assert [*seen.metadata] == ["tags"]
    deleted = await contacts.delete(contact_id)
    assert (deleted.id, deleted.receipt.id != "") == (contact_id, True)
    with pytest.raises(ContactNotFound) as failed:
        await contacts.get(contact_id)
    assert (failed.value.code.name, failed.value.reason) == ("NOT_FOUND", "CONTACT_NOT_FOUND")
    assert (await contacts.delete(contact_id, allow_missing=True)).receipt == deleted.receipt


async def test_an_update_with_a_contact(contacts: Either) -> None:
    """Its populated fields, or those of a mask, and only while its etag is the current one."""
    read = (await contacts.create(name="Ann", phone="1")).contact
    read.name = "Bob"
    written = await contacts.update(read, mask=["name"])
    assert (written.name, written.phone) == ("Bob", "1")
    with pytest.raises(EtagMismatch):
        await contacts.update(read)
    assert (await contacts.update(read.id, etag=written.etag, phone="2")).phone == "2"
    replaced = await contacts.update(read.id, metadata={"a": 1}, replace_metadata=True)
    assert dict(replaced.metadata) == {"a": 1}
    assert not (await contacts.update(read.id, metadata={}, replace_metadata=True)).metadata.fields


async def test_created_contacts_are_not_met_by_others(contacts: Either) -> None:
    """Each call makes one, a `request_id` finds the one that it made."""
    first, second = [await contacts.create(name="Ann") for _ in range(2)]
    assert first.created
    assert second.created
    assert first.contact.id != second.contact.id
    same = [await contacts.create(name="Ann", request_id="form-1") for _ in range(2)]
    assert [each.created for each in same] == [True, False]


async def test_times_have_a_zone(contacts: Either) -> None:
    """A time without one could mean anything, and is refused before anything is sent."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    contact = (await contacts.create(name="Ann", verified_at=at)).contact
    assert contact.verified_at.ToDatetime(UTC) == at
    with pytest.raises(ValueError, match="verified_at needs a time zone"):
        await contacts.create(name="Ann", verified_at=at.replace(tzinfo=None))
    with pytest.raises(ValueError, match="created_after needs a time zone"):
        await contacts.count(created_after=at.replace(tzinfo=None))


async def test_lists_have_all_pages(contacts: Either) -> None:
    """An iteration over all that match, in order, however small the pages are."""
    made = [(await contacts.create(name=str(number))).contact for number in range(7)]
    assert await contacts.list(page_size=2) == made[::-1]
    assert await contacts.list(order="OLDEST_FIRST", page_size=3) == made
    assert await contacts.list(ids=[made[3].id]) == [made[3]]
    assert await contacts.list(ContactFilter(trusted=False), ids=[made[4].id]) == [made[4]]
    assert await contacts.list(trusted=True) == []
    assert (await contacts.count(verified=False)).count == 7
    assert await contacts.count(max_count=3) == pb.CountContactsResponse(count=3, capped=True)


async def test_a_purge_deletes_what_matches(contacts: Either) -> None:
    """Only with `force`, and so many a call; without a term of a filter nobody is deleted."""
    made = [(await contacts.create(name="Ann", metadata={"n": n % 2})).contact for n in range(6)]
    ids = [each.id for each in made[::2]]
    seen = await contacts.purge(metadata={"n": 0})
    assert (seen.state, seen.count, list(seen.sample_ids)) == (pb.PURGE_STATE_DRY_RUN, 3, ids)
    part = await contacts.purge(ContactFilter(trusted=False), metadata={"n": 0}, limit=2, force=True)
    assert (part.state, part.count) == (pb.PURGE_STATE_PARTIAL, 2)
    rest = await contacts.purge(metadata={"n": 0}, force=True)
    assert (rest.state, rest.count) == (pb.PURGE_STATE_COMPLETE, 1)
    assert await contacts.list(order="OLDEST_FIRST") == made[1::2]
    with pytest.raises(InvalidRequest) as refused:
        await contacts.purge(force=True)
    assert refused.value.reason == "FILTER_INVALID"


async def test_errors_tell_what_to_do(contacts: Either) -> None:
    """Fields, ids and scopes that are wrong, each as its class with its details."""
    with pytest.raises(InvalidRequest) as invalid:
        await contacts.create(name="x" * 300)
    assert [each.field for each in invalid.value.violations] == ["contact.name"]
    assert str(invalid.value).startswith("INVALID_FIELD: ")
    taken = (await contacts.create(fingerprint="ann")).contact
    other = (await contacts.create(fingerprint="bob")).contact
    with pytest.raises(FingerprintTaken) as clash:
        await contacts.update(other.id, fingerprint="ann")
    assert clash.value.existing_id == taken.id
    with pytest.raises(CallerRefused) as refused:
        await contacts.for_account("another").get(taken.id)
    assert refused.value.reason == "CONTACT_NOT_OWNED"


async def test_a_token_file_is_read_again_when_it_changes(
    kind: Any, server: Server, tokens: Path, account: str, tmp_path: Path
) -> None:
    """A rotated token needs no restart of the client."""
    file = tmp_path / "token"
    file.write_text("not a token\n")
    contacts = Either(kind(str(server.address), token_file=file, insecure=True))
    with pytest.raises(CallerRefused) as refused:
        await contacts.count()
    assert refused.value.reason == "CREDENTIALS_INVALID"
    file.write_text(token_file.add(tokens, account, ("read",)) + "\n")
    assert (await contacts.count()).count == 0
    await contacts.close()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"token": "a", "token_file": "b"}, "not both"),
        ({"insecure": True, "root_certificates": b"x"}, "insecure takes no certificates"),
        ({"certificate_chain": b"x"}, "needs its private_key"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    kind: Any, settings: dict[str, Any], sentence: str
) -> None:
    """At once, and not at the first call."""
    with pytest.raises(ValueError, match=sentence):
        kind("127.0.0.1:1", **settings)


async def test_a_broken_token_is_not_shown(kind: Any) -> None:
    """GRPC's own refusal would hold it."""
    contacts = Either(kind("127.0.0.1:1", token="sec\nret", insecure=True))
    with pytest.raises(ValueError, match="token has characters") as refused:
        await contacts.count()
    assert "sec" not in str(refused.value).replace("such", "")
    await contacts.close()


async def test_clients_are_context_managers(server: Server, any_token: str, account: str) -> None:
    """Leaving the block closes the channel."""
    settings: dict[str, Any] = {"token": any_token, "account": account, "insecure": True}
    async with AsyncContactClient(str(server.address), **settings) as contacts:
        assert (await contacts.count()).count == 0
    with ContactClient(str(server.address), **settings) as blocking:
        assert blocking._stub
    with pytest.raises(ValueError, match="closed channel"):
        blocking.count()


def test_stubs_load_no_client() -> None:
    """Nor gRPC itself: who needs messages alone pays for no more. What is no name of the package is none."""
    words = "import sys, contactservice.v1.contact_pb2; sys.exit('grpc' in sys.modules)"
    assert subprocess.call([sys.executable, "-c", words]) == 0
    assert not hasattr(contactservice, "Contact")
    assert all(getattr(contactservice, name) for name in contactservice.__all__)
