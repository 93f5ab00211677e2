"""ImportContacts row by row: whose contact it is, what becomes of it, and what a row may not say."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from contactservice.v1 import contact_service_pb2 as pb
from service.domain import ids
from service.rpc import token_file
from tests.client import Client
from tests.rpc.imported import FAIL, MERGE, exported, results

ANN = {"name": "Ann", "email": "ann@example.com"}
KEYED = {"fingerprint": "oauth|1", "trusted": True, "name": "Ann"}
DERIVED = "d1:" + "a" * 52


async def test_each_row_has_an_outcome_at_its_place(client: Client) -> None:
    """Numbered over the whole stream, in the order of the rows; one that is refused fails no other."""
    batches: list[list[dict[str, Any]]] = [
        [ANN, {}, KEYED],
        [{"name": "x" * 257}, {"metadata": {"k": 1e20}, "name": "Bob"}, ANN, {"phone": "1"}],
    ]
    outcomes = await client.load(*batches)
    assert [outcome.row for outcome in outcomes] == list(range(7))
    assert results(outcomes) == [
        *("CREATED", "NO_IDENTITY", "CREATED"),
        *("INVALID_FIELD", "METADATA_INVALID", "FOUND", "CREATED"),
    ]
    assert outcomes[5].id == outcomes[0].id
    people = {contact.id for contact in (await client.list())[0]}
    assert people == {outcomes[row].id for row in (0, 2, 6)}
    assert outcomes[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert outcomes[1].error.message
    assert [outcome.id for outcome in outcomes if outcome.HasField("error")] == [""] * 3


async def test_a_row_is_the_contact_that_ensure_meets(client: Client) -> None:
    """Without a fingerprint by the four fields in their normal form, with one by it; both ways."""
    guest, _ = await client.ensure(**ANN)
    outcomes = await client.load([{"name": " ANN ", "email": "Ann@Example.com"}, KEYED])
    assert results(outcomes) == ["FOUND", "CREATED"]
    assert outcomes[0].id == guest.id
    contact, created = await client.ensure(fingerprint="oauth|1")
    assert (contact.id, created) == (outcomes[1].id, False)


async def test_trusted_of_the_row_decides_the_class(client: Client) -> None:
    """The same fingerprint once trusted and once not are two contacts, and neither is verified by itself."""
    outcomes = await client.load([KEYED, KEYED | {"trusted": False}])
    assert results(outcomes) == ["CREATED", "CREATED"]
    found = [await client.get(outcome.id) for outcome in outcomes]
    assert [contact.trusted for contact in found] == [True, False]
    assert {contact.fingerprint for contact in found} == {"oauth|1"}
    assert not any(contact.HasField("verified_at") for contact in found)


async def test_times_are_those_of_the_row(client: Client) -> None:
    """created_at gives the id its time, updated_at and verified_at are kept, cut to milliseconds."""
    times = {
        "createdAt": "2020-02-29T01:02:03.004900Z",
        "updatedAt": "2021-01-01T00:00:00.123Z",
        "verifiedAt": "2019-05-05T05:05:05Z",
    }
    [outcome] = await client.load([ANN | times])
    contact = await client.get(outcome.id)
    assert contact.created_at.ToJsonString() == "2020-02-29T01:02:03.004Z"
    assert ids.created_at(contact.id).isoformat() == "2020-02-29T01:02:03.004000+00:00"
    assert contact.updated_at.ToJsonString() == times["updatedAt"]
    assert contact.verified_at.ToJsonString() == times["verifiedAt"]


async def test_an_update_is_never_older_than_its_contact(client: Client) -> None:
    """updated_at before created_at is created_at; a row without either was changed when it was imported."""
    early = {"updatedAt": "2001-01-01T00:00:00Z"}
    outcomes = await client.load([ANN | early | {"createdAt": "2020-01-01T00:00:00Z"}, KEYED | early])
    for outcome in outcomes:
        contact = await client.get(outcome.id)
        assert contact.updated_at == contact.created_at


async def test_an_id_is_kept(client: Client, account: str) -> None:
    """Also one that was never given out; and a row of that id alone is found by it."""
    contact_id = ids.at(account, 1_600_000_000_000, 42)
    outcomes = await client.load([ANN | {"id": contact_id}])
    assert (results(outcomes), outcomes[0].id) == (["CREATED"], contact_id)
    outcomes = await client.load([{"id": contact_id}, {"id": contact_id, "name": "another Ann"}])
    assert (results(outcomes), {outcome.id for outcome in outcomes}) == (["FOUND"] * 2, {contact_id})


async def test_an_id_of_another_fingerprint_is_taken(client: Client) -> None:
    """Or of the other class; whatever the conflict, and nothing is written."""
    ann, bob = await client.create(fingerprint="ann"), await client.create(fingerprint="bob")
    rows = [
        {"id": ann.id, "fingerprint": "bob", "trusted": True, "name": "x"},
        {"id": ann.id, "fingerprint": "new", "trusted": True, "name": "x"},
        {"id": ann.id, "fingerprint": "ann", "name": "x"},
    ]
    for options in ({}, MERGE, FAIL, {"validate_only": True}):
        assert results(await client.load(rows, **options)) == ["ID_TAKEN"] * 3
    assert await exported(client) == [ann, bob]


async def test_the_id_comes_before_the_fingerprint(client: Client, account: str) -> None:
    """A new id with a fingerprint that is there meets the contact that has it, under its own id."""
    ann = await client.create(fingerprint="ann")
    [outcome] = await client.load([{"id": ids.at(account, 1, 1), "fingerprint": "ann", "trusted": True}])
    assert (results([outcome]), outcome.id) == (["FOUND"], ann.id)


@pytest.mark.parametrize(
    ("wrong", "reason", "field"),
    [
        ({"id": "nonsense"}, "INVALID_FIELD", "contact.id"),
        ({"fingerprint": ""}, "INVALID_FIELD", "contact.fingerprint"),
        ({"fingerprint": " edge"}, "INVALID_FIELD", "contact.fingerprint"),
        ({"fingerprint": DERIVED}, "INVALID_FIELD", "contact.fingerprint"),
        ({"fingerprint": "d1:short", "trusted": False}, "INVALID_FIELD", "contact.fingerprint"),
        ({"fingerprint": "d2:" + "a" * 52, "trusted": False}, "INVALID_FIELD", "contact.fingerprint"),
        ({"createdAt": "1969-12-31T23:59:59.999Z"}, "INVALID_FIELD", "contact.created_at"),
        ({"phone": "1" * 33}, "INVALID_FIELD", "contact.phone"),
        ({"metadata": {"k" * 129: 1}}, "METADATA_INVALID", "contact.metadata"),
        ({"metadata": {"list": list(range(257))}}, "METADATA_INVALID", "contact.metadata"),
    ],
    ids=str,
)
async def test_a_row_that_breaks_a_rule(
    client: Client, wrong: dict[str, Any], reason: str, field: str
) -> None:
    """Is told its field, whether it would create or merge, and writes nothing."""
    for options in ({}, MERGE):
        [outcome] = await client.load([KEYED | wrong], **options)
        assert results([outcome]) == [reason]
        assert outcome.error.message.startswith(field)
    assert await client.list() == ([], "")


async def test_a_time_that_is_none(client: Client) -> None:
    """Seconds past the year 9999 in any of the three, told with its field."""
    row = pb.ImportContactsRequest().contacts.add(name="Ann")
    for name in ("created_at", "updated_at", "verified_at"):
        row.ClearField("created_at")
        getattr(row, name).seconds = 2**40
        [outcome] = await client.load([row])
        assert results([outcome]) == ["INVALID_FIELD"]
        assert outcome.error.message.startswith(f"contact.{name}")
        row.ClearField(name)  # type: ignore[arg-type]


async def test_a_time_that_is_not_that_of_the_id(client: Client) -> None:
    """One of both would be lost: the row is refused."""
    ann = await client.create(fingerprint="ann")
    [outcome] = await client.load([{"id": ann.id, "createdAt": "2020-01-01T00:00:00Z"}], **MERGE)
    assert results([outcome]) == ["INVALID_FIELD"]
    assert outcome.error.message.startswith("contact.created_at")


async def test_skip_leaves_the_contact(client: Client) -> None:
    """FOUND with its id, and not a byte of it changes."""
    ann = await client.create(fingerprint="oauth|1", name="Ann", metadata={"a": 1})
    for options in ({}, {"conflict": "IMPORT_CONFLICT_SKIP"}, {"conflict": "IMPORT_CONFLICT_UNSPECIFIED"}):
        [outcome] = await client.load([KEYED | {"name": "Eve", "metadata": {"b": 2}}], **options)
        assert (results([outcome]), outcome.id) == (["FOUND"], ann.id)
    assert await exported(client) == [ann]


async def test_merge_changes_by_the_populated_fields(client: Client) -> None:
    """As UpdateContact without a mask: metadata merges, null deletes, what is absent stays."""
    ann = await client.create(fingerprint="oauth|1", name="Ann", phone="1", metadata={"a": 1, "b": {"c": 1}})
    row = {
        **KEYED,
        "name": "Ann Lee",
        "metadata": {"a": None, "b": {"d": 2.5}},
        "verifiedAt": "2020-01-01T00:00:00Z",
        "updatedAt": "2001-01-01T00:00:00Z",
    }
    assert results(await client.load([row], **MERGE)) == ["UPDATED"]
    changed = await client.get(ann.id)
    assert (changed.name, changed.phone, changed.trusted) == ("Ann Lee", "1", True)
    assert dict(changed.metadata["b"]) == {"c": 1, "d": 2.5}
    assert list(changed.metadata) == ["b"]
    assert changed.verified_at.ToJsonString() == "2020-01-01T00:00:00Z"
    assert changed.updated_at.ToNanoseconds() >= ann.updated_at.ToNanoseconds()
    assert results(await client.load([row], **MERGE)) == ["FOUND"], "nothing is left to change"
    assert await client.get(ann.id) == changed


async def test_what_a_merge_would_make_too_large_is_refused(client: Client) -> None:
    """The row alone keeps the limits; the contact keeps what it had."""
    ann = await client.create(fingerprint="oauth|1", metadata={"a": list(range(200))})
    [outcome] = await client.load([KEYED | {"metadata": {"b": list(range(100))}}], **MERGE)
    assert results([outcome]) == ["METADATA_INVALID"]
    assert await exported(client) == [ann]


async def test_fail_rejects_whom_it_finds(client: Client) -> None:
    """FINGERPRINT_TAKEN names the contact, found by id or by fingerprint; new ones are created."""
    ann = await client.create(fingerprint="oauth|1", name="Ann")
    outcomes = await client.load([KEYED, {"id": ann.id, "name": "Eve"}, {"name": "Bob"}], **FAIL)
    assert results(outcomes) == ["FINGERPRINT_TAKEN", "FINGERPRINT_TAKEN", "CREATED"]
    assert [dict(each.error.metadata) for each in outcomes[:2]] == [{"existing_id": ann.id}] * 2
    assert outcomes[0].error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]


async def test_rows_of_one_contact_are_taken_in_their_order(client: Client) -> None:
    """The first of a batch creates it, later ones change it, by fingerprint or id, and the last one stays."""
    rows = [KEYED | {"name": str(number)} for number in range(20)]
    outcomes = await client.load(rows, **MERGE)
    assert results(outcomes) == ["CREATED"] + ["UPDATED"] * 19
    assert len({outcome.id for outcome in outcomes}) == 1
    assert (await client.get(outcomes[0].id)).name == "19"
    assert results(await client.load([ANN, KEYED, ANN, {"id": outcomes[0].id, "name": "x"}, ANN])) == [
        *("CREATED", "FOUND", "FOUND", "FOUND", "FOUND")
    ]
    assert (
        results(await client.load([{"name": "Bob"}] * 3, **FAIL)) == ["CREATED"] + ["FINGERPRINT_TAKEN"] * 2
    )


@pytest.mark.parametrize("options", [{}, MERGE, FAIL], ids=str)
async def test_validation_writes_nothing(client: Client, account: str, options: dict[str, str]) -> None:
    """The outcomes are those that the import then has, but for ids that would be drawn."""
    await client.create(fingerprint="oauth|1", name="Ann")
    kept = ids.at(account, 5, 5)
    rows: list[dict[str, Any]] = [
        KEYED | {"name": "Eve"},
        KEYED,
        {"name": "new"},
        {"id": kept, "name": "restored"},
        {},
        {"id": ids.at(account, 6, 6)},
    ]
    before = await exported(client)
    # The first row of one contact changes what the second one finds.
    for batch in ([rows[0]], rows[1:]):
        checked = await client.load(batch, validate_only=True, **options)
        assert await exported(client) == before
        done = await client.load(batch, **options)
        assert results(checked) == results(done)
        assert [each.id for each in checked if each.result != pb.IMPORT_RESULT_CREATED] == [
            each.id for each in done if each.result != pb.IMPORT_RESULT_CREATED
        ]
        assert {each.id for each in checked if each.result == pb.IMPORT_RESULT_CREATED} <= {"", kept}
        before = await exported(client)


@pytest.fixture
def importer(channel: grpc.aio.Channel, tokens: Path, account: str) -> Client:
    """May import, and not say who somebody is."""
    return Client(channel, token_file.add(tokens, account, ("import",)), None)


async def test_a_fingerprint_needs_trust(client: Client, importer: Client) -> None:
    """Row by row: without the scope only of the contact of the row's id, equal to what it has."""
    ann, (bob, _) = await client.create(fingerprint="ann"), await client.ensure(name="Bob")
    rows: list[dict[str, Any]] = [
        {"fingerprint": "ann", "trusted": True, "name": "Eve"},
        {"fingerprint": "new", "trusted": True},
        {"fingerprint": DERIVED},
        {"id": ann.id, "fingerprint": "other", "trusted": True},
        {"id": bob.id, "fingerprint": bob.fingerprint, "trusted": True},
        {"id": ann.id, "fingerprint": "ann", "trusted": True, "nickname": "An"},
        {"id": bob.id, "fingerprint": bob.fingerprint, "nickname": "Bo"},
        {"name": "Carl"},
    ]
    outcomes = await importer.load(rows[:4] + rows[5:], **MERGE)
    assert results(outcomes) == ["SCOPE_MISSING"] * 4 + ["UPDATED", "UPDATED", "CREATED"]
    assert [dict(outcome.error.metadata) for outcome in outcomes[:4]] == [{"scope": "trust"}] * 4
    assert outcomes[0].error.code == grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert results(await importer.load([rows[4]])) == ["INVALID_FIELD"], "no trusted row has such a text"
    names = {contact.fingerprint: contact.name for contact in await exported(client)}
    assert names.keys() >= {"ann", bob.fingerprint}
    assert "Eve" not in names.values()
    assert len(names) == 3
