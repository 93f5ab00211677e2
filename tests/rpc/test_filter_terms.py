"""What each term of a filter finds, case by case, in List and in Export; and which terms are refused."""

import math
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact, ContactFilter
from tests.client import Client
from tests.rpc.refusal import refusal

PEOPLE: dict[str, dict[str, Any]] = {
    "ann": {"fingerprint": "F", "email": "Ann@Example.com", "metadata": {"plan": "pro", "n": 1}},
    "bob": {"fingerprint": "f", "email": "bob@example.com", "metadata": {"plan": "free", "n": True}},
    "cleo": {"email": " ann@EXAMPLE.com", "phone": "0049 (30) 1", "metadata": {"n": "1", "plan": ["pro", 2]}},
    "dora": {
        "phone": "+49-30-1",
        "verified_at": "2020-01-01T00:00:00Z",
        "metadata": {"a": {"b": {"c": 0.5}}},
    },
    "emil": {"metadata": {"a.b": {"c": 0.5}, "$ne": "pro", "list": [1, None, "1", True, {"x": 1}]}},
    "fay": {"metadata": {"$or": [{"plan": "pro"}], "a": {"b": "c"}, "`": 1, "empty": {}, "none": []}},
    "gus": {},
}


@pytest_asyncio.fixture
async def people(client: Client) -> dict[str, Contact]:
    return {name: await client.create(name=name, **person) for name, person in PEOPLE.items()}


async def found(client: Client, **fields: Any) -> list[str]:
    """The names, oldest first; List in either order and Export agree on them."""
    oldest, end = await client.list(order="CONTACT_ORDER_OLDEST_FIRST", **fields)
    newest, _ = await client.list(**fields)
    parts = [part async for part in client.export(format="EXPORT_FORMAT_CONTACTS", **fields)]
    assert not end
    assert oldest == newest[::-1] == [contact for part in parts for contact in part.contacts.contacts]
    return [contact.name for contact in oldest]


CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "ann bob cleo dora emil fay gus"),
    ({"trusted": True}, "ann bob"),
    ({"trusted": False}, "cleo dora emil fay gus"),
    ({"verified": True}, "ann bob dora"),
    ({"verified": False}, "cleo emil fay gus"),
    ({"trusted": False, "verified": True}, "dora"),
    ({"fingerprints": ["F"]}, "ann"),
    ({"fingerprints": ["f", "F", "nobody", "f"]}, "ann bob"),
    ({"fingerprints": ["f"], "trusted": False}, ""),
    ({"fingerprints": [" F"]}, ""),
    ({"emails": ["ANN@example.COM "]}, "ann cleo"),
    ({"emails": ["bob@example.com", "\uff21nn@example.com"]}, "ann bob cleo"),
    ({"emails": ["ann"]}, ""),
    ({"phones": ["+49301"]}, "cleo dora"),
    ({"phones": ["00 49 / 30 . 1"], "verified": True}, "dora"),
    ({"phones": ["49301"]}, ""),
    ({"metadata": {"plan": "pro"}}, "ann cleo"),
    ({"metadata": {"plan": "Pro"}}, ""),
    ({"metadata": {"plan": ["pro"]}}, "cleo"),
    ({"metadata": {"plan": [2, "pro", 2.0]}}, "cleo"),
    ({"metadata": {"plan": ["pro", "2"]}}, ""),
    ({"metadata": {"n": 1}}, "ann"),
    ({"metadata": {"n": 1.0}}, "ann"),
    ({"metadata": {"n": True}}, "bob"),
    ({"metadata": {"n": "1"}}, "cleo"),
    ({"metadata": {"n": False}}, ""),
    ({"metadata": {"n": 1, "plan": "pro"}}, "ann"),
    ({"metadata": {"n": 1, "plan": "free"}}, ""),
    ({"metadata": {"list": 1}}, "emil"),
    ({"metadata": {"list": True}}, "emil"),
    ({"metadata": {"list": "1"}}, "emil"),
    ({"metadata": {"list": {"x": 1}}}, ""),
    ({"metadata": {"a": {"b": {"c": 0.5}}}}, "dora"),
    ({"metadata": {"a": {"b": "c"}}}, "fay"),
    ({"metadata": {"a.b": {"c": 0.5}}}, "emil"),
    ({"metadata": {"a": {"b.c": 0.5}}}, ""),
    ({"metadata": {"$ne": "pro"}}, "emil"),
    ({"metadata": {"plan": {"$ne": "free"}}}, ""),
    ({"metadata": {"n": {"$gt": 0}}}, ""),
    ({"metadata": {"$or": "pro"}}, ""),
    ({"metadata": {"$where": "true"}}, ""),
    ({"metadata": {"`": 1}}, "fay"),
    ({"metadata_exists": ["plan"]}, "ann bob cleo"),
    ({"metadata_exists": ["plan", "list"]}, ""),
    ({"metadata_exists": ["a"]}, "dora fay"),
    ({"metadata_exists": ["a.b"]}, "dora fay"),
    ({"metadata_exists": ["a.b.c"]}, "dora"),
    ({"metadata_exists": ["`a.b`"]}, "emil"),
    ({"metadata_exists": ["`a.b`.c"]}, "emil"),
    ({"metadata_exists": ["````"]}, "fay"),
    ({"metadata_exists": ["`plan`"]}, "ann bob cleo"),
    ({"metadata_exists": ["empty"]}, "fay"),
    ({"metadata_exists": ["none"]}, "fay"),
    ({"metadata_exists": ["$or"]}, "fay"),
    ({"metadata_exists": ["$or.plan"]}, ""),
    ({"metadata_exists": ["list.0"]}, ""),
    ({"metadata_exists": ["name"]}, ""),
    ({"metadata_exists": ["plan"], "metadata": {"n": True}, "trusted": True}, "bob"),
    ({"emails": ["ann@example.com"], "metadata": {"plan": "pro"}, "trusted": False}, "cleo"),
    ({"ids": ["nonsense"]}, ""),
    ({"ids": ["nonsense"], "trusted": True}, ""),
]


async def test_each_term_finds_its_people(client: Client, people: dict[str, Contact]) -> None:
    """Terms are ANDed, values are ORed, types are kept, and keys and values are data, never operators."""
    assert list(people) == list(PEOPLE)
    assert {str(terms): " ".join(await found(client, filter=terms)) for terms, _ in CASES} == {
        str(terms): names for terms, names in CASES
    }


async def test_ids_find_any_of_them(client: Client, people: dict[str, Contact]) -> None:
    """In the order asked for, each once, with the other terms, and malformed ones match nothing."""
    ids = [people[name].id for name in ("gus", "ann", "cleo", "ann")]
    assert await found(client, filter={"ids": [*ids, "nonsense", ids[0].lower()]}) == ["ann", "cleo", "gus"]
    assert await found(client, filter={"ids": ids, "trusted": True}) == ["ann"]
    assert await found(client, filter={"ids": ids, "fingerprints": ["F", "f"]}) == ["ann"]
    assert await found(client, filter={"ids": ids, "created_after": "2999-01-01T00:00:00Z"}) == []


async def test_a_foreign_id_refuses_the_filter(
    client: Client, channel: grpc.aio.Channel, any_token: str, account: str, people: dict[str, Contact]
) -> None:
    """One id of another account among own ones is CONTACT_NOT_OWNED, in List and in Export."""
    stranger = await Client(channel, any_token, account + "-b").create()
    for method in ("ListContacts", "ExportContacts"):
        failed = await client.failure(method, filter={"ids": [people["ann"].id, stranger.id]})
        assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "CONTACT_NOT_OWNED")


def shifted(moment: Timestamp, nanoseconds: int) -> str:
    other = Timestamp()
    other.FromNanoseconds(moment.ToNanoseconds() + nanoseconds)
    return other.ToJsonString()


async def test_created_ranges_are_half_open(client: Client) -> None:
    """created_after <= t < created_before, on the millisecond and between two of them."""
    contact = await client.create(name="one")
    before, at, between, after = (
        shifted(contact.created_at, nanoseconds) for nanoseconds in (-1_000_000, 0, 1, 1_000_000)
    )
    for bounds, hit in [
        ({"created_after": before}, True),
        ({"created_after": at}, True),
        ({"created_after": between}, False),
        ({"created_after": after}, False),
        ({"created_before": before}, False),
        ({"created_before": at}, False),
        ({"created_before": between}, True),
        ({"created_before": after}, True),
        ({"created_after": at, "created_before": after}, True),
        ({"created_after": at, "created_before": at}, False),
        ({"created_after": after, "created_before": at}, False),
        ({"created_after": "0001-01-01T00:00:00Z", "created_before": "9999-12-31T23:59:59.999999999Z"}, True),
    ]:
        assert await found(client, filter=bounds) == (["one"] if hit else []), bounds
        updated = {name.replace("created", "updated"): time for name, time in bounds.items()}
        assert await found(client, filter=updated) == (["one"] if hit else []), updated


async def test_a_change_is_found_and_the_old_value_is_not(client: Client) -> None:
    """After an update the terms are those of the contact as it is."""
    contact = await client.create(name="ann", email="a@b", metadata={"plan": "pro"})
    changed = await client.update({"id": contact.id, "email": "c@d", "metadata": {"plan": "free", "x": 1}})
    assert await found(client, filter={"emails": ["a@b"]}) == []
    assert await found(client, filter={"metadata": {"plan": "pro"}}) == []
    assert await found(client, filter={"emails": ["c@d"], "metadata": {"plan": "free", "x": 1}}) == ["ann"]
    bounds = {"updated_after": changed.updated_at.ToJsonString()}
    assert await found(client, filter=bounds) == ["ann"]


def struct(**values: float) -> Struct:
    message = Struct()
    for key, value in values.items():
        message.fields[key].number_value = value
    return message


MANY = [f"{number}@x" for number in range(101)]
REFUSED: list[ContactFilter] = [
    ContactFilter(metadata=Struct()),
    ContactFilter(metadata=struct(n=float("nan"))),
    ContactFilter(metadata=struct(n=float("inf"))),
    ContactFilter(metadata=struct(n=2.0**53)),
    ContactFilter(metadata=struct(**{f"k{number}": number for number in range(17)})),
    *[
        ContactFilter(metadata_exists=[path])
        for path in ("", ".", "a.", ".a", "a..b", "`a", "a`", "a`b`", "``")
    ],
    ContactFilter(metadata_exists=[f"k{number}" for number in range(17)]),
    *[ContactFilter(**{name: MANY}) for name in ("emails", "phones", "fingerprints", "ids")],
    *[ContactFilter(**{name: ["x", ""]}) for name in ("emails", "phones", "fingerprints", "ids")],
    ContactFilter(emails=[" \u3000"]),
    ContactFilter(phones=["-- ()"]),
]


@pytest.mark.parametrize("method", ["ListContacts", "ExportContacts"])
@pytest.mark.parametrize("refused", REFUSED, ids=lambda each: str(each)[:40])
async def test_a_bad_term_is_refused(client: Client, method: str, refused: ContactFilter) -> None:
    """FILTER_INVALID, with the field below `filter`."""
    message = getattr(pb, method + "Request")(filter=refused)
    answer = await refusal(client.unary(method)(message, metadata=client.metadata))
    assert (answer.code, answer.reason) == ("INVALID_ARGUMENT", "FILTER_INVALID")
    [field] = answer.fields
    assert field == "filter." + refused.ListFields()[0][0].name


@pytest.mark.parametrize(
    "value", [None, {}, [], {"b": None}, {"b": {}}, [None], [{}], [["x"]], [1, {"a": 1}]]
)
async def test_a_metadata_value_that_is_no_condition_is_refused(client: Client, value: Any) -> None:
    """Null, empty containers and lists of anything but scalars are FILTER_INVALID, at any depth."""
    failed = await client.failure("ListContacts", filter={"metadata": {"x": 1, "a": value}})
    assert (failed.reason, failed.fields) == ("FILTER_INVALID", ["filter.metadata"])


async def test_the_limits_themselves_are_allowed(client: Client) -> None:
    """A hundred values of each list and sixteen metadata terms, those of a list counted one by one."""
    contact = await client.create(name="ann", email="7@x", metadata={"l": list(range(10)), "a": 1, "b": 2})
    terms = {"metadata": {"l": list(range(10)), "a": 1, "b": 2}, "metadata_exists": ["l", "a", "b"]}
    full = terms | {"metadata_exists": ["l", "a", "b", "l"], "emails": MANY[:100]}
    assert await found(client, filter=full | {"ids": [contact.id, *MANY[:99]]}) == ["ann"]
    one_more = {"metadata": terms["metadata"], "metadata_exists": ["l", "a", "b", "c", "d"]}
    assert (await client.failure("ListContacts", filter=one_more)).reason == "FILTER_INVALID"


def many(hostile: Value) -> Value:
    """Sixteen numbers, then the value again and again."""
    numbers = [Value(number_value=number) for number in range(16)]
    return Value(list_value=ListValue(values=[*numbers, *[hostile] * 50_000]))


@pytest.mark.parametrize("method", ["ListContacts", "ExportContacts"])
@pytest.mark.parametrize(
    ("refused", "field"),
    [
        (ContactFilter(metadata_exists=["k"] * 16 + ["`"] * 300_000), "metadata_exists"),
        (ContactFilter(metadata=Struct(fields={"a": many(Value())})), "metadata"),
        (ContactFilter(metadata=Struct(fields={"a": many(Value(number_value=math.nan))})), "metadata"),
        (
            ContactFilter(metadata=Struct(fields={f"k{number}": Value() for number in range(50_000)})),
            "metadata",
        ),
    ],
    ids=["paths", "no conditions", "no numbers", "members"],
)
async def test_too_many_terms_are_refused_before_they_are_looked_at(
    client: Client, method: str, refused: ContactFilter, field: str
) -> None:
    """A filter as large as a request: told is their number, not what else is wrong with those too many."""
    message = getattr(pb, method + "Request")(filter=refused)
    answer = await refusal(client.unary(method)(message, metadata=client.metadata))
    assert (answer.reason, answer.fields) == ("FILTER_INVALID", ["filter." + field])
    assert answer.message.startswith(f"filter.{field}: at most ")
