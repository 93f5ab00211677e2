"""Batch calls: an outcome for each item, in order; what one of them ends with is no other's matter."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1 import errors_pb2
from service.domain import limits
from service.domain.errors import StoreUnavailable
from service.rpc.batching import AT_ONCE
from service.rpc.server import Server
from tests.client import Client, failure, request
from tests.people import fill
from tests.rpc.serving import serving


def reasons(outcomes: Any) -> list[str]:
    """Of each outcome why it failed, or which part it has."""
    return [
        errors_pb2.ErrorReason.Name(outcome.error.reason).removeprefix("ERROR_REASON_")
        if outcome.HasField("error")
        else outcome.WhichOneof("outcome") or "nothing"
        for outcome in outcomes
    ]


async def test_a_batch_of_gets_answers_in_the_order_of_its_ids(client: Client) -> None:
    """Contacts and errors, each at its place; an id may stand twice."""
    ann, bob, gone = [await client.create(name=name) for name in ("Ann", "Bob", "Eve")]
    await client.call("DeleteContact", id=gone.id)
    foreign = "ct_000000000000" + ann.id[15:]
    answer = await client.call(
        "BatchGetContacts", ids=[bob.id, "nonsense", ann.id, gone.id, "", foreign, bob.id]
    )
    assert reasons(answer.outcomes) == [
        "contact",
        "CONTACT_NOT_FOUND",
        "contact",
        "CONTACT_NOT_FOUND",
        "INVALID_FIELD",
        "CONTACT_NOT_OWNED",
        "contact",
    ]
    assert [each.contact for each in answer.outcomes if each.HasField("contact")] == [bob, ann, bob]


async def test_an_item_is_told_what_a_call_of_its_own_is(client: Client) -> None:
    """Code, reason and sentence of the error are the same."""
    for contact_id in ("", "nonsense", "ct_" + "0" * 38):
        alone = await client.failure("GetContact", id=contact_id)
        [outcome] = (await client.call("BatchGetContacts", ids=[contact_id])).outcomes
        assert outcome.error.code == grpc.StatusCode[alone.code].value[0]
        assert errors_pb2.ErrorReason.Name(outcome.error.reason) == f"ERROR_REASON_{alone.reason}"
        assert outcome.error.message == alone.message


async def test_a_whole_batch_of_gets(client: Client, server: Server, account: str) -> None:
    """A thousand ids, in any order, in several rounds."""
    people = await fill(server.store, account, count=limits.BATCH_IDS)
    ids = [person.id for person in people[::-1]]
    answer = await client.call("BatchGetContacts", ids=ids)
    assert [outcome.contact.id for outcome in answer.outcomes] == ids


@pytest.mark.parametrize(
    ("method", "field", "item", "most"),
    [
        ("BatchGetContacts", "ids", "x", 1000),
        ("BatchEnsureContacts", "contacts", {"name": "Ann"}, 500),
        ("BatchDeleteContacts", "ids", "x", 1000),
    ],
)
async def test_a_batch_is_bounded(client: Client, method: str, field: str, item: Any, most: int) -> None:
    """One item more is INVALID_FIELD and nothing is done; none at all is an empty answer."""
    failed = await client.failure(method, **{field: [item] * (most + 1)})
    assert (failed.code, failed.reason, failed.fields) == ("INVALID_ARGUMENT", "INVALID_FIELD", [field])
    assert await client.list() == ([], "")
    assert list((await client.call(method)).outcomes) == []


async def test_a_response_ends_at_3_mib(client: Client, server: Server, account: str) -> None:
    """What does not fit is RESPONSE_FULL and is asked for again; what fits is whole, nobody is skipped."""
    people = await fill(server.store, account, count=400, size=20_000)
    wanted = [person.id for person in people]
    seen: list[str] = []
    while wanted:
        answer = await client.call("BatchGetContacts", ids=wanted)
        ends = reasons(answer.outcomes)
        shown = ends.count("contact")
        assert ends == ["contact"] * shown + ["RESPONSE_FULL"] * (len(wanted) - shown)
        assert shown
        assert answer.ByteSize() < 3.2 * 2**20
        seen += [outcome.contact.id for outcome in answer.outcomes[:shown]]
        wanted = wanted[shown:]
    assert seen == [person.id for person in people]


async def test_a_batch_of_ensures_gets_or_creates_each(client: Client) -> None:
    """Whoever is there is found, whoever is not is created, whoever cannot be is told why."""
    known, _ = await client.ensure(fingerprint="known", name="Ann")
    people: list[dict[str, Any]] = [
        {"fingerprint": "known", "name": "other"},
        {"email": "new@example.com"},
        {},
        {"name": "x" * 257},
        {"email": "NEW@example.com"},
        {"name": "Bob", "metadata": {"plan": 1e20}},
    ]
    first = (await client.call("BatchEnsureContacts", contacts=people)).outcomes
    assert reasons(first) == [
        "contact",
        "contact",
        "NO_IDENTITY",
        "INVALID_FIELD",
        "contact",
        "METADATA_INVALID",
    ]
    assert (first[0].contact, first[0].created) == (known, False)
    assert first[1].contact == first[4].contact
    assert [first[1].created, first[4].created].count(True) == 1
    again = (await client.call("BatchEnsureContacts", contacts=people)).outcomes
    assert [outcome.contact for outcome in again] == [outcome.contact for outcome in first]
    assert not any(outcome.created for outcome in again)


async def test_batches_at_once_make_each_person_once(client: Client) -> None:
    """Ten callers with the same five hundred people: one contact and one `created` each."""
    people = [{"email": f"{number}@example.com"} for number in range(limits.BATCH_CONTACTS)]
    answers = await asyncio.gather(*(client.call("BatchEnsureContacts", contacts=people) for _ in range(10)))
    for outcomes in zip(*(answer.outcomes for answer in answers), strict=True):
        assert len({outcome.contact.id for outcome in outcomes}) == 1
        assert [outcome.created for outcome in outcomes].count(True) == 1


async def test_a_batch_of_deletions_leaves_nobody(client: Client) -> None:
    """Receipts and errors, each at its place; with `allow_missing` a repetition has the same receipts."""
    people = [await client.create(name=str(number)) for number in range(3)]
    ids = [people[0].id, "nonsense", people[1].id, people[2].id]
    first = (await client.call("BatchDeleteContacts", ids=ids)).outcomes
    assert [outcome.id for outcome in first] == ids
    assert reasons(first) == ["receipt", "CONTACT_NOT_FOUND", "receipt", "receipt"]
    assert await client.list() == ([], "")
    assert set(reasons((await client.call("BatchDeleteContacts", ids=ids)).outcomes)) == {"CONTACT_NOT_FOUND"}
    again = (await client.call("BatchDeleteContacts", ids=ids, allow_missing=True)).outcomes
    assert reasons(again) == ["receipt", "nothing", "receipt", "receipt"]
    assert [outcome.receipt for outcome in again] == [outcome.receipt for outcome in first]


async def test_of_an_id_that_stands_twice_one_is_the_deletion(client: Client) -> None:
    """The other finds nobody, or the receipt."""
    contact = await client.create()
    outcomes = (await client.call("BatchDeleteContacts", ids=[contact.id] * 2)).outcomes
    assert sorted(reasons(outcomes)) == ["CONTACT_NOT_FOUND", "receipt"]
    outcomes = (await client.call("BatchDeleteContacts", ids=[contact.id] * 2, allow_missing=True)).outcomes
    assert reasons(outcomes) == ["receipt"] * 2


async def test_a_batch_counts_its_items(mongodb_uri: str, tokens: Path, any_token: str, account: str) -> None:
    """A rate of calls is one of items, and one of deletions of deleted contacts; none is done beyond it."""
    async with serving(mongodb_uri, tokens=tokens, rate_calls="1/h:8", rate_deletes="1/h:2") as (_, channel):
        client = Client(channel, any_token, account)
        contact = await client.create()
        for method, fields in [
            ("BatchDeleteContacts", {"ids": [contact.id, "x", "y"]}),
            ("BatchEnsureContacts", {"contacts": [{"name": str(number)} for number in range(9)]}),
            ("BatchGetContacts", {"ids": ["x"] * 9}),
        ]:
            failed = await client.failure(method, **fields)
            assert (failed.code, failed.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert reasons((await client.call("BatchGetContacts", ids=[contact.id])).outcomes) == ["contact"]


async def test_an_absence_in_the_middle_is_told_of_the_rest(
    client: Client, server: Server, account: str
) -> None:
    """Rounds before it are answered; nothing behind it is asked, and each item says why."""
    people = await fill(server.store, account, count=3 * AT_ONCE)
    get, calls = server.store.get, 0

    async def answered_at_first(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > AT_ONCE:
            raise StoreUnavailable
        return await get(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.store, "get", answered_at_first)
        answer = await client.call("BatchGetContacts", ids=[person.id for person in people])
    assert reasons(answer.outcomes) == ["contact"] * AT_ONCE + ["STORE_UNAVAILABLE"] * 2 * AT_ONCE
    assert calls == 2 * AT_ONCE


async def test_a_bug_in_one_item_fails_the_call(client: Client, server: Server) -> None:
    """It is told as any bug is: INTERNAL with a request id, and logged."""

    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.store, "get", broken)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.unary("BatchGetContacts")(
                request("BatchGetContacts", ids=["x"] * 3), metadata=client.metadata
            )
    failed = failure(caught.value)
    assert (failed.reason, list(failed.metadata)) == ("INTERNAL", ["request_id"])


def test_outcomes_are_framed_as_their_messages_are() -> None:
    """The bytes that are put together by hand are those of the messages."""
    assert pb.GetOutcome.CONTACT_FIELD_NUMBER == pb.EnsureOutcome.CONTACT_FIELD_NUMBER == 1
    assert pb.GetOutcome.ERROR_FIELD_NUMBER == pb.EnsureOutcome.ERROR_FIELD_NUMBER == 2
    for response in (
        pb.BatchGetContactsResponse,
        pb.BatchEnsureContactsResponse,
        pb.BatchDeleteContactsResponse,
    ):
        assert response.DESCRIPTOR.fields_by_name["outcomes"].number == 1
