"""How contacts are kept: nothing hostile in a key reaches MongoDB, nothing is lost on the way back."""

from datetime import UTC, datetime

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.contact import Contact
from service.storage.documents import OPTIONS, from_document, to_document

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
ID = "ct_5ABN2V1N9DM801M854PC5VD7WQAK5AE0867PT6"

scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.just(1.5)
keys = st.text(min_size=1, max_size=20) | st.sampled_from(
    ["$ref", "$id", "a.b", "%2E", "%", "\0", "$set", "_id"]
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
)


def kept(contact: Contact) -> Contact:
    stored = bson.encode(to_document("acme", contact))
    return from_document(bson.decode(stored, OPTIONS))


@given(st.dictionaries(keys, values, max_size=4))
def test_any_metadata_comes_back_as_it_was(metadata: dict[str, object]) -> None:
    """Every key and every value survives the way through BSON, with its type."""
    contact = Contact(ID, "f", True, MOMENT, metadata=metadata)
    assert repr(kept(contact).metadata) == repr(metadata)


def test_all_fields_come_back_as_they_were() -> None:
    """Texts, times, class and revision are what they were."""
    contact = Contact(
        ID, "f", False, MOMENT, 7, "n", "d\n", "e", "p", "nick", "pref", {"a": {"b": [1, None, {}]}}, MOMENT
    )
    assert kept(contact) == contact


def test_what_is_absent_is_left_out() -> None:
    """An empty contact costs only its keys: no empty text, no empty metadata, no missing time."""
    document = to_document("acme", Contact(ID, "f", True, MOMENT))
    assert set(document) == {"_id", "account", "fingerprint", "trusted", "updated_at", "rev", "terms"}


@pytest.mark.parametrize("key", ["$ref", "a.b", "\0", "%24"])
def test_no_key_in_storage_means_anything_to_mongodb(key: str) -> None:
    """Dots, dollars and NULs of metadata keys never reach the database."""
    [stored] = to_document("acme", Contact(ID, "f", True, MOMENT, metadata={key: 1}))["metadata"]
    assert not set(stored) & {"$", ".", "\0"}
