"""EnsureContact: one person, one contact, however often and in whatever spelling they come."""

import asyncio
from typing import Any

import grpc
import pytest

from tests.client import Client

# Pairs of the same person: each is a different spelling with one normal form.
SAME_PERSON: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"name": "Ann Lee"}, {"name": "ANN LEE"}),
    ({"name": "Ann Lee"}, {"name": "  Ann \u3000 Lee "}),
    ({"name": "Ann Lee"}, {"name": "Ann\u00a0Lee"}),
    ({"name": "Stra\u00dfe"}, {"name": "STRASSE"}),
    ({"name": "Jose\u0301"}, {"name": "Jos\u00e9"}),
    ({"name": "\ufb01n"}, {"name": "FIN"}),
    ({"name": "\uff21nn"}, {"name": "ann"}),
    (
        {"name": "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2"},
        {"name": "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3"},
    ),
    ({"name": "\u01f0"}, {"name": "j\u030c"}),
    ({"email": "Ann@Example.com"}, {"email": " ann@EXAMPLE.com "}),
    ({"email": "ann\uff20example.com"}, {"email": "ann@example.com"}),
    ({"phone": "+49 (30) 1-2.3/4_5"}, {"phone": "0049 30 12345"}),
    ({"phone": "(00) 49 30"}, {"phone": "+4930"}),
    ({"phone": "\uff0b\uff14\uff19"}, {"phone": "+49"}),
    ({"nickname": "@Ann"}, {"nickname": " @ANN "}),
    ({"name": "Ann", "email": "  "}, {"name": "ann"}),
    ({"name": "Ann", "phone": "-- ()"}, {"name": "Ann", "nickname": "\u3000"}),
    (
        {"name": "Ann", "email": "A@b", "phone": "1 2", "nickname": "N"},
        {"name": "ann", "email": "a@B", "phone": "1-2", "nickname": "n"},
    ),
]

OTHER_PERSON: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"name": "Ann"}, {"nickname": "Ann"}),
    ({"name": "Ann"}, {"email": "Ann"}),
    ({"name": "1"}, {"phone": "1"}),
    ({"name": "Ann"}, {"name": "Ann", "email": "ann@example.com"}),
    ({"name": "Ann", "email": "b"}, {"name": "Ann", "nickname": "b"}),
    ({"name": "ab", "email": "c"}, {"name": "a", "email": "bc"}),
    ({"name": "AnnLee"}, {"name": "Ann Lee"}),
    ({"nickname": "a b"}, {"nickname": "a  b"}),
    ({"email": "a b"}, {"email": "a  b"}),
    ({"phone": "4930"}, {"phone": "+4930"}),
    ({"phone": "04930"}, {"phone": "004930"}),
    ({"name": "Jose"}, {"name": "Jos\u00e9"}),
    ({"name": "0049"}, {"name": "+49"}),
]


@pytest.mark.parametrize(("first", "second"), SAME_PERSON, ids=str)
async def test_spellings_of_one_person_meet(
    client: Client, first: dict[str, str], second: dict[str, str]
) -> None:
    """Two spellings with one normal form are one contact, kept as the first one was sent."""
    one, created = await client.ensure(**first)
    other, again = await client.ensure(**second)
    assert (created, again) == (True, False)
    assert other == one
    assert all(getattr(one, name) == text for name, text in first.items())


@pytest.mark.parametrize(("first", "second"), OTHER_PERSON, ids=str)
async def test_different_people_stay_apart(
    client: Client, first: dict[str, str], second: dict[str, str]
) -> None:
    """Another set of fields, another label or another normal form is another person."""
    one, _ = await client.ensure(**first)
    other, created = await client.ensure(**second)
    assert created
    assert other.id != one.id
    assert other.fingerprint != one.fingerprint


async def test_what_does_not_identify_does_not_divide(client: Client) -> None:
    """Description, preferences, metadata and verification are no part of who somebody is."""
    one, _ = await client.ensure(name="Ann")
    more = {
        "description": "d",
        "preferences": "p",
        "metadata": {"a": 1},
        "verified_at": "2020-01-01T00:00:00Z",
    }
    assert await client.ensure(name="Ann", **more) == (one, False)
    assert await client.get(one.id) == one


async def test_a_derived_contact_is_untrusted_and_not_verified(client: Client) -> None:
    """Its fingerprint is the server's; it is verified only by what was sent."""
    plain, _ = await client.ensure(name="Ann")
    sent, _ = await client.ensure(name="Bob", verified_at="2020-01-01T00:00:00Z", trusted=True)
    assert not plain.trusted
    assert not sent.trusted
    assert plain.fingerprint.startswith("d1:")
    assert not plain.HasField("verified_at")
    assert sent.verified_at.ToJsonString() == "2020-01-01T00:00:00Z"


async def test_ensure_and_create_meet_on_a_fingerprint(client: Client) -> None:
    """Both mean the one trusted contact of the fingerprint, whoever comes first, and change nothing in it."""
    created = await client.create(fingerprint="one", name="Ann")
    assert await client.ensure(fingerprint="one", name="Bob") == (created, False)
    ensured, new = await client.ensure(fingerprint="two", name="Cleo")
    assert new
    assert ensured.trusted
    assert ensured.verified_at == ensured.created_at
    assert await client.create(fingerprint="two", name="Dora") == ensured


async def test_a_fingerprint_outweighs_the_other_fields(client: Client) -> None:
    """With a fingerprint nothing is derived: the guest of the same name is another contact."""
    guest, _ = await client.ensure(name="Ann", email="ann@example.com")
    known, created = await client.ensure(fingerprint="f", name="Ann", email="ann@example.com")
    other, _ = await client.ensure(fingerprint="g", name="Ann", email="ann@example.com")
    assert created
    assert len({guest.id, known.id, other.id}) == 3


async def test_created_guests_are_not_met(client: Client) -> None:
    """A contact that CreateContact made without a fingerprint is not found by its fields."""
    guest = await client.create(name="Ann")
    retried = await client.create(request_id="Ann", name="Ann")
    ensured, created = await client.ensure(name="Ann")
    assert created
    assert ensured.id not in {guest.id, retried.id}


async def test_a_contact_is_found_by_the_fields_of_its_birth(client: Client) -> None:
    """Later changes of its fields keep the derived fingerprint; the new fields are another person."""
    born, _ = await client.ensure(name="Ann", email="ann@example.com")
    changed = await client.update({"id": born.id, "name": "Anna", "email": "anna@example.com"})
    assert changed.fingerprint == born.fingerprint
    assert await client.ensure(name="Ann", email="ann@example.com") == (changed, False)
    other, created = await client.ensure(name="Anna", email="anna@example.com")
    assert created
    assert other.id != born.id


async def test_a_new_fingerprint_lets_the_person_go(client: Client) -> None:
    """Once its derived fingerprint was replaced, the fields of its birth make a new contact."""
    born, _ = await client.ensure(name="Ann")
    await client.update({"id": born.id, "fingerprint": "known now"})
    again, created = await client.ensure(name="Ann")
    assert created
    assert again.fingerprint == born.fingerprint
    assert again.id != born.id


@pytest.mark.parametrize("person", [{"fingerprint": "f"}, {"name": "Ann", "phone": "1"}], ids=str)
async def test_a_deleted_person_comes_back_as_a_new_contact(client: Client, person: dict[str, Any]) -> None:
    """After a deletion the same person is created again, under a new id."""
    first, _ = await client.ensure(**person)
    await client.call("DeleteContact", id=first.id)
    again, created = await client.ensure(**person)
    assert created
    assert again.id > first.id
    assert again.fingerprint == first.fingerprint


async def test_an_account_has_its_own_people(
    client: Client, channel: grpc.aio.Channel, any_token: str, account: str
) -> None:
    """The same fields in another account are another contact with another fingerprint."""
    here, _ = await client.ensure(name="Ann")
    there, created = await Client(channel, any_token, account + "-b").ensure(name="Ann")
    assert created
    assert there.fingerprint != here.fingerprint


@pytest.mark.parametrize("person", [{"fingerprint": "f"}, {"name": "Ann", "email": "a@b"}], ids=str)
async def test_a_race_makes_one_contact(client: Client, person: dict[str, Any]) -> None:
    """64 calls at once on a new person: one contact, one `created`, and all are shown the same."""
    found = await asyncio.gather(*(client.ensure(**person, description=str(turn)) for turn in range(64)))
    assert len({contact.SerializeToString(deterministic=True) for contact, _ in found}) == 1
    assert sum(created for _, created in found) == 1


async def test_ensure_and_delete_race(client: Client) -> None:
    """While a person is ensured and deleted over and over, each answer is a contact that was really made."""

    async def ensure() -> tuple[str, bool]:
        contact, created = await client.ensure(fingerprint="f")
        return contact.id, created

    async def delete() -> None:
        for contact in (await client.list())[0]:
            await client.call("DeleteContact", id=contact.id, allow_missing=True)

    answers: list[tuple[str, bool]] = []
    for _ in range(10):
        *found, _ = await asyncio.gather(ensure(), ensure(), ensure(), delete())
        answers += found
    made = [contact_id for contact_id, created in answers if created]
    assert len(made) == len(set(made))
    assert {contact_id for contact_id, _ in answers} == set(made)


@pytest.mark.parametrize(
    "nobody",
    [
        {},
        {"name": " \u3000 "},
        {"phone": "-- () ./_"},
        {"email": " ", "nickname": "\u00a0"},
        {"description": "tall", "preferences": "tea", "metadata": {"name": "Ann"}},
        {"id": "x", "trusted": True, "etag": "1"},
    ],
    ids=str,
)
async def test_nobody_is_no_identity(client: Client, nobody: dict[str, Any]) -> None:
    """Without anything in normal form to know a person by: NO_IDENTITY, and nothing is written."""
    failed = await client.failure("EnsureContact", contact=nobody)
    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "NO_IDENTITY")
    assert (await client.failure("EnsureContact")).reason == "NO_IDENTITY"
    assert await client.list() == ([], "")


async def test_what_the_server_writes_is_ignored(client: Client) -> None:
    """Sent id, trusted, times and etag leave no trace and do not divide."""
    old = {"created_at": "2001-01-01T00:00:00Z", "updated_at": "2001-01-01T00:00:00Z"}
    first, _ = await client.ensure(name="Ann", id="ct_x", trusted=True, etag="9", **old)
    assert await client.ensure(name="Ann") == (first, False)
    assert first.id != "ct_x"
    assert first.created_at == first.updated_at
    assert first.created_at.ToJsonString() > "2026"
