"""Imports beside other writers: the unique indexes decide who creates, and no write is lost."""

import asyncio
from typing import Any

from service.domain import ids, limits
from tests.client import Client
from tests.rpc.imported import MERGE, results

KEYED = {"fingerprint": "oauth|1", "trusted": True}


async def test_importers_and_ensures_at_once_make_each_person_once(client: Client) -> None:
    """Whoever comes first creates; all others find, and all have the same id."""
    people = [{"email": f"{number}@example.com"} for number in range(limits.BATCH_CONTACTS)]
    loads = [client.load(people) for _ in range(4)]
    answer, *loaded = await asyncio.gather(client.call("BatchEnsureContacts", contacts=people), *loads)
    for ensured, *rows in zip(answer.outcomes, *loaded, strict=True):
        assert {row.id for row in rows} == {ensured.contact.id}
        assert [*results(rows), "CREATED" if ensured.created else "FOUND"].count("CREATED") == 1


async def test_importers_of_one_id_at_once_make_it_once(client: Client, account: str) -> None:
    """Of two fingerprints that want one id one gets it, the other is told that it is taken."""
    for number in range(10):
        contact_id = ids.at(account, number, number)
        rows = [
            {"id": contact_id, "fingerprint": text, "trusted": True} for text in (f"a{number}", f"b{number}")
        ]
        ends = await asyncio.gather(*(client.load([row]) for row in rows))
        assert sorted(results([end[0] for end in ends])) == ["CREATED", "ID_TAKEN"]


async def test_a_merge_loses_no_update_beside_it(client: Client) -> None:
    """Imports and updates of one contact at once: each of the members that they write is there."""
    ann = await client.create(fingerprint="oauth|1")
    writes: list[Any] = [
        client.load([KEYED | {"metadata": {f"{number}": 1}}], **MERGE) for number in range(4)
    ]
    writes += [client.update({"id": ann.id, "metadata": {f"{number}": 1}}) for number in range(4, 12)]
    await asyncio.gather(*writes)
    found = await client.get(ann.id)
    assert {*found.metadata} == {str(number) for number in range(12)}
