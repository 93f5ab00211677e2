"""From stored documents to records: whatever is stored, the compiled part writes what Python writes."""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.domain.contact import Contact
from service.domain.encoding import Encoder
from service.storage.documents import to_document
from service.storage.replies import Reply
from service.storage.transcode import Native, Python, Transcoder
from tests.domain import hostile, strategies
from tests.storage.both_ways import (
    ENCODERS,
    check_same,
    comparable,
    each_format,
    many,
    native_only,
    outcome,
    reply,
    stored,
    texts,
)

EVERYTHING = 2**30
PLAIN = to_document("demo", hostile.contacts(1)[0])
PERSON = Contact("ct_5ABN2V1N9DM801M854PC5VD7WQAK5AE0867PT6", "f", True, datetime(2026, 1, 2, tzinfo=UTC))


@native_only
@each_format
def test_hostile_contacts_become_the_same_records(encoder: Encoder) -> None:
    """The texts and values that readers stumble over are no stumbling block between the two ways."""
    documents = [stored(contact) for contact in (*hostile.contacts(3000), *hostile.contact_of_each_text())]
    python, native = (texts(each, encoder, documents) for each in (Python(), Native()))
    assert [comparable(encoder, text) for text in python] == [comparable(encoder, text) for text in native]


@native_only
@many
@given(strategies.contacts)
def test_any_contact_becomes_the_same_record(contact: Contact) -> None:
    """Whatever the rules let a contact be."""
    check_same(stored(contact))


@native_only
@many
@given(st.floats() | st.floats(-1e6, 1e6).map(lambda value: round(value, 3)) | st.floats(-1e-3, 1e-3))
@example(1e-5)
@example(-1.25e-5)
@example(9.999e-5)
@example(1e-4)
@example(1e15)
@example(1e16)
@example(123456789012345.6)
@example(-0.0)
@example(float("nan"))
@example(float("inf"))
def test_any_number_becomes_the_same_text(value: float) -> None:
    """The shortest digits, in the forms of orjson and of YAML; also of what is never stored."""
    check_same(bson.encode(PLAIN | {"metadata": {"a": value, "b": [value]}}))


@native_only
@many
@given(st.integers(-(2**63), 2**63 - 1))
def test_any_integer_becomes_the_same_text(value: int) -> None:
    """Stored in 32 or in 64 bits."""
    check_same(bson.encode(PLAIN | {"metadata": {"a": value}, "rev": value}))


@native_only
@many
@given(strategies.moments)
def test_any_time_becomes_the_same_text(moment: datetime) -> None:
    """In the years 1 to 9999."""
    check_same(bson.encode(PLAIN | {"updated_at": moment, "verified_at": moment}))


@native_only
def test_each_sign_becomes_the_same_text() -> None:
    """At the beginning, in the middle and at the end of a text, and as a key."""
    planes_ends = [plane << 16 | last for plane in range(17) for last in (0xFFFD, 0xFFFE, 0xFFFF)]
    codes = (*range(0x300), *range(0x1FF0, 0x2070), 0x3000, *range(0xFDC8, 0xFDF8), *range(0xFEF0, 0xFF50))
    for sign in map(chr, (*codes, *planes_ends)):
        for text in (sign, f"{sign}a", f"a{sign}", f"a longer one{sign}and more"):
            check_same(stored(replace(PERSON, description=text, metadata={text: text, "l": [text]})))


@native_only
@many
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_becomes_the_same_text(text: str) -> None:
    """Of all planes of Unicode."""
    check_same(
        stored(replace(PERSON, fingerprint=text, name=text, metadata={"a": text, text: {text: [text]}}))
    )


def odd_documents() -> Iterator[dict[str, Any]]:
    """What this service does not store, but another hand may have."""
    for key in PLAIN:
        yield {name: value for name, value in PLAIN.items() if name != key}
    odd_values = [None, 1, 1.5, True, "text", {}, {"a": 1}, [], [1], PERSON.updated_at, b"bytes"]
    for key in (*PLAIN, "verified_at", "name", "unknown"):
        yield from (PLAIN | {key: value} for value in odd_values)
    for value in (*odd_values, bson.ObjectId(), bson.Decimal128("1"), bson.Regex("a"), bson.Int64(7)):
        yield PLAIN | {"metadata": {"a": value}}
        yield PLAIN | {"metadata": {"a": {"b": [value]}}}
        yield PLAIN | {"unknown": {"a": value}}
        yield PLAIN | {"unknown": [value]}
    for key in ("a.b", "$ref", "%", "%2", "%2e", "%2E", "%25", "%00%24", "", "x" * 400, "%2E" * 130):
        yield PLAIN | {"metadata": {key: 1}}
        yield PLAIN | {"metadata": {"a": {key: 1, "b": 2}}}
        yield PLAIN | {key or "unknown": 1}
    yield PLAIN | {"metadata": {"%2E": 1, ".": 2, "a": 3}}
    yield PLAIN | {"metadata": {"$ref": "a", "$id": 1}}
    for time in (
        "Z1M854PC5V",
        "76EZ91ZPZZ",
        "76EZ91ZQ00",
        "7ZZZZZZZZZ",
        "01m854pc5v",
        "01M85_PC5V",
        "01M854PC5U",
    ):
        yield PLAIN | {"_id": PERSON.id[:15] + time + PERSON.id[25:]}
    for wrong in ("", "ct_", PERSON.id.lower(), PERSON.id + "0", PERSON.id[:-1] + "L"):
        yield PLAIN | {"_id": wrong}
    yield PLAIN | {"metadata": {str(number): number for number in range(600)}}
    deep: Any = 1
    for _ in range(30):
        deep = {"a": deep}
    yield PLAIN | {"metadata": deep}


@native_only
@pytest.mark.parametrize("document", [*odd_documents()], ids=lambda _: "")
def test_odd_documents_come_to_the_same_end(document: dict[str, Any]) -> None:
    """A wrong type, a missing field, a key that is not escaped: the same record or the same error."""
    check_same(bson.encode(document))


@native_only
@pytest.mark.parametrize(
    "wrong", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3", b"\xe2\x80", b"\x80"]
)
@pytest.mark.parametrize("place", ["name", "metadata", "key", "unknown", "list", "fingerprint"])
def test_text_that_is_not_utf_8_is_an_error_of_the_driver(wrong: bytes, place: str) -> None:
    """Wherever it stands: it is not let through to anybody who reads the export."""
    mark = "#" * len(wrong)
    changed: dict[str, Any] = {
        "metadata": {"metadata": {"a": mark}},
        "key": {"metadata": {mark: 1}},
        "list": {"metadata": {"a": [mark]}},
    }.get(place, {place: mark})
    document = bson.encode(PLAIN | changed).replace(mark.encode(), wrong)
    for encoder in ENCODERS:
        assert outcome(Native(), encoder, document) is bson.errors.InvalidBSON
    check_same(document)


@native_only
@pytest.mark.parametrize(
    "before", [b"\x02name\0\x02\0\0\0\xff\0", b"\x03metadata\0\x05\0\0\0\1", b"\x0arev\0"]
)
def test_a_field_that_stands_twice_comes_to_the_same_end(before: bytes) -> None:
    """The first of the two is looked at, too, as the driver looks at it."""
    whole = bson.encode(PLAIN | {"name": "Ann", "metadata": {"a": 1}})
    doubled = before + whole[4:]
    check_same((len(doubled) + 4).to_bytes(4, "little") + doubled)


@native_only
@settings(max_examples=3000, deadline=None)
@given(st.sampled_from(hostile.contacts(40)), st.data())
def test_broken_bytes_come_to_the_same_end(contact: Contact, draw: st.DataObject) -> None:
    """Any bytes of a document may be wrong: nothing is read beyond it, and the end is Python's."""
    document = bytearray(stored(contact))
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(4, len(document) - 2))
        document[place] = draw.draw(st.integers(0, 255) | st.sampled_from([0, 1, 2, 3, 4, 8, 9, 10, 16, 18]))
    check_same(bytes(document))


@native_only
@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**32 - 1) | st.integers(0, 600), st.binary(max_size=600))
def test_offsets_are_not_trusted(start: int, noise: bytes) -> None:
    """Where no document can begin is an error, not a look into other memory."""
    for encoder in ENCODERS:
        records = next(iter(Native().records(Reply(noise, array("I", [start])), encoder, None)))
        with pytest.raises((ValueError, bson.errors.InvalidBSON, KeyError, TypeError)):
            records.take(EVERYTHING // 2**10, 1)


@native_only
@pytest.mark.parametrize("noise", [b"", b"\x05\x00\x00\x00\x00", bson.encode({"a": 1}), b"\xff" * 50])
def test_a_reply_without_documents_is_no_end(noise: bytes) -> None:
    """What is no reply must not pass for an empty one, which would end an export as complete."""
    for transcoder in (Python(), Native()):
        with pytest.raises(ValueError, match=r"."):
            transcoder.starts(noise)


def test_an_empty_reply_has_no_documents(transcoder: Transcoder) -> None:
    """The end of an export is told by it."""
    assert len(reply(transcoder, [])) == 0


def test_documents_are_found_where_they_begin(transcoder: Transcoder) -> None:
    """All of them, in order, also past ten and past a hundred, when their keys grow longer."""
    people = hostile.contacts(1234)
    found = reply(transcoder, map(stored, people))
    assert found.contacts() == people
    assert found.last_id() == people[-1].id
    assert [contact for part in found.slices(100) for contact in part.contacts()] == people


@each_format
def test_records_end_at_so_many_bytes_or_records(transcoder: Transcoder, encoder: Encoder) -> None:
    """One record at least; no further one when there are so many bytes; the id is that of the last one."""
    people = hostile.contacts(40)
    [records] = transcoder.records(reply(transcoder, map(stored, people)), encoder, None)
    one = records.take(1, 10)
    assert (one.records, one.last_id) == (1, people[0].id)
    five = records.take(EVERYTHING // 2**10, 5)
    assert (five.records, five.last_id) == (5, people[5].id)
    some = records.take(len(five.text), 30)
    assert 1 < some.records < 30
    assert len(some.text) >= len(five.text)
    rest = records.take(EVERYTHING // 2**10, 100)
    assert (rest.last_id, len(records)) == (people[-1].id, 0)
    joined = encoder.separator.join(piece.text for piece in (one, five, some, rest))
    assert comparable(encoder, joined) == comparable(
        encoder, encoder.separator.join(map(encoder.record, people))
    )


@each_format
def test_only_what_matches_is_written(transcoder: Transcoder, encoder: Encoder) -> None:
    """A filter is asked about the contact itself; the length is that of what it lets through."""
    people = hostile.contacts(200)
    matches: Callable[[Contact], bool] = lambda contact: contact.trusted  # noqa: E731 (a rule in one line)
    parts = [*transcoder.records(reply(transcoder, map(stored, people)), encoder, matches)]
    wanted = [person for person in people if person.trusted]
    assert sum(map(len, parts)) == len(wanted)
    written = encoder.separator.join(part.take(EVERYTHING // 2**10, 500).text for part in parts if len(part))
    expected = encoder.separator.join(map(encoder.record, wanted))
    assert comparable(encoder, written) == comparable(encoder, expected)


@each_format
def test_an_odd_document_between_others_is_written_in_its_place(
    transcoder: Transcoder, encoder: Encoder
) -> None:
    """What only Python can write stands between what the compiled part wrote; its id counts, too."""
    odd = bson.encode(PLAIN | {"metadata": {"a.b": 1}})
    people = hostile.contacts(3)
    documents = [stored(people[1]), odd, stored(people[2]), odd]
    [records] = transcoder.records(reply(transcoder, documents), encoder, None)
    piece = records.take(EVERYTHING // 2**10, 10)
    assert (piece.records, piece.last_id) == (4, PLAIN["_id"])
    records_of = [encoder.record(people[1]), None, encoder.record(people[2]), None]
    [of_odd] = texts(Python(), encoder, [odd])
    expected = encoder.separator.join(record or of_odd for record in records_of)
    assert comparable(encoder, piece.text) == comparable(encoder, expected)


@native_only
def test_a_large_contact_is_written_whole() -> None:
    """Texts at their limits, with signs that grow when they are written."""
    check_same(stored(replace(PERSON, preferences="\x01" * 32768, metadata={"a": '"\x85' * 8000})))
