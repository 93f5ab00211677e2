"""Many at once: any number, in order, whatever one call can hold."""

from typing import Any

import pytest

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.errors_pb2 import (
    ERROR_REASON_CONTACT_NOT_FOUND,
    ERROR_REASON_RESPONSE_FULL,
    ERROR_REASON_STORE_UNAVAILABLE,
)
from tests.clients.either import Either
from tests.clients.scripted import scripted

FULL = pb.ItemError(reason=ERROR_REASON_RESPONSE_FULL)


async def test_more_than_one_call_can_hold(contacts: Either) -> None:
    """1,100 people, of whom one has no identity: everybody has an outcome in the place that was asked for."""
    people = [Contact(name=f"Person {number}") for number in range(1100)]
    people[700] = Contact(preferences="none")
    ensured = await contacts.batch_ensure(people)
    assert [outcome.contact.name for outcome in ensured] == [person.name for person in people]
    assert ensured[700].error.code == 3
    assert sum(outcome.created for outcome in ensured) == 1099
    ids = [outcome.contact.id for outcome in ensured]
    got = await contacts.batch_get(ids)
    assert [outcome.contact.id for outcome in got] == ids
    deleted = await contacts.batch_delete(ids)
    assert [outcome.id for outcome in deleted] == ids
    assert [outcome.WhichOneof("outcome") for outcome in deleted].count("receipt") == 1099
    assert (await contacts.count()).count == 0


async def test_large_contacts_are_asked_for_until_all_fit(contacts: Either) -> None:
    """3 MiB is the limit of an answer and 1 MiB that of a request, not of a batch: 400 contacts have 12."""
    people = [Contact(name=str(number), preferences="x" * 30_000) for number in range(400)]
    ensured = await contacts.batch_ensure(people)
    assert all(outcome.created for outcome in ensured)
    got = await contacts.batch_get([outcome.contact.id for outcome in ensured])
    assert [outcome.contact for outcome in got] == [outcome.contact for outcome in ensured]


@pytest.mark.parametrize("name", ["batch_get", "batch_ensure", "batch_delete"])
async def test_nothing_is_asked_for_nobody(kind: Any, name: str) -> None:
    """An empty batch makes no call."""
    async with scripted(kind) as (script, contacts):
        assert await getattr(contacts, name)([]) == []
    assert script.requests == []


async def test_deletions_whose_receipts_did_not_fit(kind: Any) -> None:
    """They are asked for as deleted already; one that never was is still not found."""
    receipt = {"id": "r"}
    first = [
        pb.DeleteOutcome(id="a", receipt=receipt),
        pb.DeleteOutcome(id="b", error=FULL),
        pb.DeleteOutcome(id="c", error=FULL),
    ]
    second = [pb.DeleteOutcome(id="b", receipt=receipt), pb.DeleteOutcome(id="c")]
    answers = [pb.BatchDeleteContactsResponse(outcomes=each) for each in (first, second)]
    async with scripted(kind, *answers) as (script, contacts):
        outcomes = await contacts.batch_delete(["a", "b", "c"])
    assert [outcome.id for outcome in outcomes] == ["a", "b", "c"]
    assert [outcome.receipt.id for outcome in outcomes] == ["r", "r", ""]
    assert (outcomes[2].error.code, outcomes[2].error.reason) == (5, ERROR_REASON_CONTACT_NOT_FOUND)
    assert [(list(each.ids), each.allow_missing) for each in script.requests] == [
        (["a", "b", "c"], False),
        (["b", "c"], True),
    ]


async def test_an_answer_that_holds_nothing_is_not_asked_for_again(kind: Any) -> None:
    """Else the same question would be asked for ever. Other errors of an item are told as they are."""
    away = pb.ItemError(reason=ERROR_REASON_STORE_UNAVAILABLE)
    outcomes = [pb.GetOutcome(error=FULL), pb.GetOutcome(error=away)]
    answers = [pb.BatchGetContactsResponse(outcomes=some) for some in (outcomes, outcomes[:1])]
    async with scripted(kind, *answers) as (script, contacts):
        got = await contacts.batch_get(["a", "b"])
    assert [outcome.error.reason for outcome in got] == [
        ERROR_REASON_RESPONSE_FULL,
        ERROR_REASON_STORE_UNAVAILABLE,
    ]
    assert [list(each.ids) for each in script.requests] == [["a", "b"], ["a"]]
