"""A contact's birth: what it takes from the draft, and what it is given."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain import contact as contacts
from service.domain import ids
from service.domain.contact import Draft
from service.domain.deletion import Receipt

ID = ids.lower_bound("demo", 1_000_000)
NOW = datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC)
EARLIER = NOW - timedelta(days=1)


@pytest.mark.parametrize(
    ("trusted", "sent", "verified_at"),
    [(True, None, NOW), (True, EARLIER, EARLIER), (False, None, None), (False, EARLIER, EARLIER)],
)
def test_a_trusted_contact_is_born_verified(
    trusted: bool, sent: datetime | None, verified_at: datetime | None
) -> None:
    """Without a time that was sent, a trusted contact is verified now and an untrusted one is not."""
    born = contacts.born(ID, Draft(verified_at=sent), "user:1", trusted=trusted)
    assert (born.trusted, born.verified_at) == (trusted, verified_at)


def test_a_contact_is_born_with_the_texts_that_were_sent() -> None:
    """All texts and the metadata are kept as they are; times are the id's and the count begins at 1."""
    texts = {name: f"the {name}" for name in contacts.TEXT_FIELDS}
    born = contacts.born(ID, Draft(metadata={"a": 1}, **texts), "d1:x", trusted=False)
    assert {name: getattr(born, name) for name in texts} == texts
    assert (born.id, born.fingerprint, born.metadata) == (ID, "d1:x", {"a": 1})
    assert (born.created_at, born.updated_at, born.rev, born.etag) == (NOW, NOW, 1, "1")


def test_no_metadata_and_an_empty_object_are_the_same() -> None:
    """A contact without metadata holds an empty object."""
    absent, empty = Draft(), Draft(metadata={})
    assert contacts.born(ID, absent, "x", trusted=True) == contacts.born(ID, empty, "x", trusted=True)
    assert contacts.born(ID, absent, "x", trusted=True).metadata == {}


def test_the_id_of_a_deletion_follows_from_the_id_of_the_contact() -> None:
    """Every repetition of a deletion shows the same receipt."""
    assert Receipt(ID, NOW, NOW).id == "dl_" + ID[3:]
