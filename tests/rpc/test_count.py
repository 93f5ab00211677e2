"""CountContacts: exactly as many as a list shows, or as many as were asked for."""

from service.rpc.server import Server
from tests.client import Client
from tests.people import fill


async def test_a_count_ends_where_it_is_asked_to(client: Client, server: Server, account: str) -> None:
    """`capped` says whether there are more; as many as asked for are not more."""
    await fill(server.store, account, count=50)
    for terms in ({}, {"metadata": {"plan": "pro"}}):
        whole = (await client.call("CountContacts", filter=terms)).count
        assert whole == (25 if terms else 50)
        for most, expected_end in ((whole - 1, True), (whole, False), (whole + 1, False)):
            answer = await client.call("CountContacts", filter=terms, max_count=str(most))
            assert (answer.count, answer.capped) == (min(most, whole), expected_end)


async def test_nobody_is_counted_as_none(client: Client) -> None:
    """An empty account, and a filter that matches nothing."""
    assert (await client.call("CountContacts")).count == 0
    await client.create(name="Ann")
    assert (await client.call("CountContacts", filter={"emails": ["nobody@example.com"]})).count == 0
    assert (await client.call("CountContacts", filter={"ids": ["nonsense"]})).count == 0


async def test_a_bad_count_is_told(client: Client) -> None:
    """A negative end, a bad filter: with the field."""
    for fields, reason, field in [
        ({"max_count": "-1"}, "INVALID_FIELD", "max_count"),
        ({"filter": {"metadata": {"a": None}}}, "FILTER_INVALID", "filter.metadata"),
    ]:
        failed = await client.failure("CountContacts", **fields)
        assert (failed.code, failed.reason, failed.fields) == ("INVALID_ARGUMENT", reason, [field])
