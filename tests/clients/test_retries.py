"""What the clients try again by themselves, what they do not, and how long they wait."""

import asyncio
import math
from typing import Any

import grpc
import pytest

from contactservice import ContactServiceError, DeadlineExceeded, LimitReached, ServiceUnavailable
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from service.domain.errors import Internal, RateLimited, ShuttingDown
from service.storage.mongod_process import free_port
from tests.clients.either import Either
from tests.clients.scripted import scripted

AWAY = ShuttingDown()
CALLS: dict[str, tuple[str, tuple[Any, ...], Any]] = {
    "create": ("CreateContact", (), pb.CreateContactResponse(created=True)),
    "ensure": ("EnsureContact", (), pb.EnsureContactResponse(created=True)),
    "get": ("GetContact", ("ct_1",), pb.GetContactResponse()),
    "update": ("UpdateContact", ("ct_1",), pb.UpdateContactResponse()),
    "list": ("ListContacts", (), pb.ListContactsResponse()),
    "count": ("CountContacts", (), pb.CountContactsResponse()),
    "batch_get": ("BatchGetContacts", (["ct_1"],), pb.BatchGetContactsResponse(outcomes=[pb.GetOutcome()])),
    "batch_ensure": (
        "BatchEnsureContacts",
        ([Contact()],),
        pb.BatchEnsureContactsResponse(outcomes=[pb.EnsureOutcome()]),
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_outlives_a_service_that_leaves(kind: Any, name: str) -> None:
    """UNAVAILABLE twice, then an answer: the caller sees the answer, and every try was the same request."""
    _, arguments, answer = CALLS[name]
    async with scripted(kind, AWAY, AWAY, answer) as (script, contacts):
        await getattr(contacts, name)(*arguments)
    assert len(script.requests) == 3
    assert script.requests[0] == script.requests[1] == script.requests[2]


async def test_each_creation_has_a_request_id_of_its_own(kind: Any) -> None:
    """Kept over retries, so that they make one contact; another creation has another one."""
    done = pb.CreateContactResponse(created=True)
    async with scripted(kind, AWAY, done, done) as (script, contacts):
        await contacts.create(name="Ann")
        await contacts.create(name="Ann")
    first, again, other = [request.request_id for request in script.requests]
    assert first == again != other
    assert first


@pytest.mark.parametrize("name", ["delete", "batch_delete"])
async def test_a_deletion_is_tried_again_only_when_that_makes_no_difference(kind: Any, name: str) -> None:
    """With `allow_missing` it is, without it the error is told at once."""
    arguments = ["ct_1"] if name == "delete" else [["ct_1"]]
    outcome = pb.DeleteOutcome(id="ct_1")
    done = {
        "delete": pb.DeleteContactResponse(id="ct_1"),
        "batch_delete": pb.BatchDeleteContactsResponse(outcomes=[outcome]),
    }
    async with scripted(kind, AWAY, done[name]) as (script, contacts):
        with pytest.raises(ServiceUnavailable) as failed:
            await getattr(contacts, name)(*arguments)
        assert failed.value.reason == "SHUTTING_DOWN"
        assert len(script.requests) == 1
    async with scripted(kind, AWAY, AWAY, done[name]) as (script, contacts):
        await getattr(contacts, name)(*arguments, allow_missing=True)
        assert [request.allow_missing for request in script.requests] == [True] * 3


async def test_only_a_purge_that_deletes_nothing_is_tried_again(kind: Any) -> None:
    """With `force` two tries could delete more than `limit`, and the first one's count would be lost."""
    seen = pb.PurgeContactsResponse(state=pb.PURGE_STATE_DRY_RUN)
    async with scripted(kind, AWAY, seen) as (script, contacts):
        assert await contacts.purge(trusted=False) == seen
        assert len(script.requests) == 2
    async with scripted(kind, AWAY, seen) as (script, contacts):
        with pytest.raises(ServiceUnavailable):
            await contacts.purge(trusted=False, force=True)
        assert len(script.requests) == 1


async def test_what_is_refused_for_a_while_is_asked_again_then(kind: Any) -> None:
    """Even a deletion: nothing of it was done. The wait of the service is kept."""
    refused = RateLimited("too many calls", retry_after=0.3)
    async with scripted(kind, refused, pb.DeleteContactResponse(id="ct_1")) as (script, contacts):
        started = asyncio.get_running_loop().time()
        await contacts.delete("ct_1")
        assert asyncio.get_running_loop().time() - started > 0.3
    assert len(script.requests) == 2


async def test_a_wait_beyond_the_deadline_is_told_at_once(kind: Any) -> None:
    """With the reason and the seconds, instead of a deadline that says nothing."""
    async with scripted(kind, RateLimited("too many exports", retry_after=600.0)) as (script, contacts):
        with pytest.raises(LimitReached) as failed:
            await contacts.get("ct_1")
    assert (failed.value.reason, failed.value.retry_after) == ("RATE_LIMITED", 600.0)
    assert len(script.requests) == 1


@pytest.mark.parametrize("error", [Internal("a"), RateLimited("too large a batch", math.inf)])
async def test_what_would_fail_again_is_not_repeated(kind: Any, error: Exception) -> None:
    """A bug of the service, and a refusal without a time to wait."""
    async with scripted(kind, error) as (script, contacts):
        with pytest.raises(ContactServiceError):
            await contacts.get("ct_1")
    assert len(script.requests) == 1


async def test_patience_ends(kind: Any) -> None:
    """Five tries, and then the last error."""
    async with scripted(kind, *[AWAY] * 9) as (script, contacts):
        with pytest.raises(ServiceUnavailable):
            await contacts.get("ct_1")
        assert len(script.requests) == 5


async def test_a_service_that_is_not_there_is_waited_for_until_the_deadline(kind: Any) -> None:
    """Unless the caller would rather know."""
    address = f"127.0.0.1:{free_port()}"
    patient = Either(kind(address, insecure=True, timeout=0.3))
    with pytest.raises(DeadlineExceeded):
        await patient.get("ct_1")
    with pytest.raises(DeadlineExceeded):
        await patient.within(0.1).count()
    await patient.close()
    hasty = Either(kind(address, insecure=True, timeout=20, wait_for_ready=False))
    with pytest.raises(ServiceUnavailable) as failed:
        await hasty.get("ct_1")
    assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.UNAVAILABLE, "")
    await hasty.close()


async def test_every_call_says_who_calls(kind: Any) -> None:
    """The token and the account, also over another client of the same connections."""
    answers = [pb.GetContactResponse()] * 2
    async with scripted(kind, *answers, account="a") as (script, contacts):
        await contacts.get("ct_1")
        await contacts.for_account("b").within(5).get("ct_1")
    assert [each["authorization"] for each in script.metadata] == ["Bearer secret"] * 2
    assert [each["x-account-id"] for each in script.metadata] == ["a", "b"]
