"""The text of an export: what any JSON reader, and protojson above all, gets back from it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from contactservice.v1 import contact_pb2
from service.domain import encoding, ids
from service.domain.contact import TEXT_FIELDS, Contact
from tests.domain import strategies
from tests.domain.strategies import EPOCH, bounded, canonical

PLAIN = Contact(
    id=ids.lower_bound("demo", 1_767_225_600_123),
    fingerprint="user:1",
    trusted=True,
    updated_at=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
)
LINE_ENDS = ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\u0085", "\u2028", "\u2029"]


def line(contact: Contact) -> str:
    return encoding.json_lines().record(contact).decode()


def milliseconds(moment: Timestamp) -> int:
    return moment.seconds * 1000 + moment.nanos // 1_000_000


def since_epoch(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def test_an_object_is_written_like_this() -> None:
    """The bytes of a record never change: an export is compared by its hash."""
    contact = replace(PLAIN, name="Zo\u00eb", metadata={"b": [1, None, 0.5], "a": {}})
    assert line(contact) == (
        '{"id":"ct_5ABN2V1N9DM801KDVDNA3V0000000000000000","fingerprint":"user:1","trusted":true,'
        '"name":"Zo\u00eb","description":null,"email":null,"phone":null,"nickname":null,"preferences":null,'
        '"metadata":{"b":[1,null,0.5],"a":{}},"verifiedAt":null,"createdAt":"2026-01-01T00:00:00.123Z",'
        '"updatedAt":"2026-01-02T03:04:05.678Z","etag":"1"}\n'
    )


@bounded
@given(strategies.contacts)
def test_an_object_parses_into_an_equal_contact(contact: Contact) -> None:
    """Reading a line as protojson gives a Contact with every value that was written."""
    message = json_format.Parse(line(contact), contact_pb2.Contact())
    plain = ("id", "fingerprint", "trusted", "etag", *TEXT_FIELDS)
    assert {name: getattr(message, name) for name in plain} == {
        name: getattr(contact, name) for name in plain
    }
    assert canonical(json_format.MessageToDict(message.metadata)) == canonical(contact.metadata)
    assert milliseconds(message.created_at) == since_epoch(contact.created_at)
    assert milliseconds(message.updated_at) == since_epoch(contact.updated_at)
    assert message.HasField("verified_at") == (contact.verified_at is not None)
    assert contact.verified_at is None or milliseconds(message.verified_at) == since_epoch(
        contact.verified_at
    )


@bounded
@given(strategies.contacts)
def test_an_object_has_every_field_in_the_order_of_the_proto(contact: Contact) -> None:
    """Each field of Contact is there under its protojson name, in the order of the .proto."""
    fields = sorted(contact_pb2.Contact.DESCRIPTOR.fields, key=lambda field: field.number)
    assert list(json.loads(line(contact))) == [field.json_name for field in fields]


@bounded
@given(strategies.contacts)
def test_absent_is_null(contact: Contact) -> None:
    """A text or time that is absent is null; metadata is an object always."""
    written = json.loads(line(contact))
    for name in TEXT_FIELDS:
        assert written[name] == (getattr(contact, name) or None)
    assert (written["verifiedAt"] is None) == (contact.verified_at is None)
    assert isinstance(written["metadata"], dict)


@bounded
@given(strategies.contacts)
def test_a_record_is_one_line_for_every_reader(contact: Contact) -> None:
    """No reader of lines finds another end than the one line feed, and all text is UTF-8."""
    written = line(contact)
    assert written.splitlines() == [written[:-1]]
    assert written.endswith("}\n")
    assert "\ufffd" not in written or "\ufffd" in repr(contact)


@pytest.mark.parametrize("end", LINE_ENDS, ids=lambda end: f"{ord(end):04x}")
@pytest.mark.parametrize("place", ["text", "value", "key", "element", "twice"])
def test_each_line_end_is_escaped(end: str, place: str) -> None:
    """Wherever a line end stands in a contact, the record stays one line and keeps the text."""
    text = f"a{end}b"
    contact = {
        "text": replace(PLAIN, description=text),
        "value": replace(PLAIN, metadata={"a": text}),
        "key": replace(PLAIN, metadata={text: 1}),
        "element": replace(PLAIN, metadata={"a": [text]}),
        "twice": replace(PLAIN, description=text + text, preferences=text),
    }[place]
    written = line(contact)
    assert written.splitlines() == [written[:-1]]
    read = json.loads(written)
    assert (read["description"] or "", read["preferences"] or "") == (
        contact.description,
        contact.preferences,
    )
    assert read["metadata"] == contact.metadata


@pytest.mark.parametrize(
    ("end", "escape"), [("\u2028", "\\u2028"), ("\u2029", "\\u2029"), ("\u0085", "\\u0085")]
)
def test_unicode_line_ends_are_written_as_escapes(end: str, escape: str) -> None:
    """The three line ends that JSON allows raw are written with a backslash."""
    assert f'"description":"a{escape}b"' in line(replace(PLAIN, description=f"a{end}b"))


def test_other_text_is_written_raw() -> None:
    """What is no line end stays readable: letters of any script, and neighbours of the line ends."""
    text = "\u00e9\u4f60\U0001f600\u2027\u202a\u0084\u0086"
    assert f'"description":"{text}"' in line(replace(PLAIN, description=text))


def test_an_escape_in_the_text_stays_text() -> None:
    """A backslash that somebody typed is not taken for an escape."""
    contact = replace(PLAIN, description="\\u2028", preferences='\\"\\\\')
    read = json.loads(line(contact))
    assert (read["description"], read["preferences"]) == ("\\u2028", '\\"\\\\')


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
        (datetime(999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC), "0999-12-31T23:59:59.999Z"),
        (datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC), "1969-12-31T23:59:59.999Z"),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00.000Z"),
        (datetime(2024, 2, 29, 12, 0, 0, 1000, tzinfo=UTC), "2024-02-29T12:00:00.001Z"),
        (datetime(2026, 1, 1, 0, 0, 0, 500000, tzinfo=UTC), "2026-01-01T00:00:00.500Z"),
        (datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC), "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_have_three_digits_of_milliseconds(moment: datetime, text: str) -> None:
    """Times are RFC 3339 in UTC with milliseconds, from the year 1 to 9999, and parse back."""
    assert encoding.timestamp(moment) == text
    message = json_format.Parse(line(replace(PLAIN, verified_at=moment)), contact_pb2.Contact())
    assert milliseconds(message.verified_at) == since_epoch(moment)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**53 - 1, "9007199254740991"),
        (-(2**53) + 1, "-9007199254740991"),
        (5e-324, "5e-324"),
        (0.1, "0.1"),
        (True, "true"),
        ([None], "[null]"),
        ({}, "{}"),
        ([], "[]"),
    ],
)
def test_values_of_metadata_keep_their_type(value: Any, text: str) -> None:
    """Integers have no point, numbers keep every digit, containers stay empty."""
    assert f'"metadata":{{"a":{text}}}' in line(replace(PLAIN, metadata={"a": value}))


@pytest.mark.parametrize("key", ["a.b", "$ne", "", "%2E", "\u0000", "__proto__", '"'])
def test_keys_of_metadata_are_shown_as_they_are(key: str) -> None:
    """Any key is legal, and the export shows it unescaped to every JSON reader."""
    assert json.loads(line(replace(PLAIN, metadata={key: 1})))["metadata"] == {key: 1}


def test_the_file_is_the_lines_and_nothing_else() -> None:
    """JSON lines have no head, nothing between two records, no tail; a file without records is empty."""
    encoder = encoding.json_lines()
    assert (encoder.head, encoder.separator, encoder.tail, encoder.empty) == (b"", b"", b"", b"")
    assert encoder.content_type == "application/jsonl"
    assert encoder.columns == ()


def test_the_array_is_written_like_this() -> None:
    """A JSON array has one object a line, commas at their ends, and brackets on lines of their own."""
    encoder = encoding.json_array()
    first, second = (replace(PLAIN, name=name) for name in ("a", "b"))
    written = encoder.head + encoder.separator.join(map(encoder.record, [first, second])) + encoder.tail
    assert written.decode() == f"[\n{line(first)[:-1]},\n{line(second)[:-1]}\n]\n"
    assert encoder.empty == b"[]\n"
    assert encoder.content_type == "application/json"
    assert encoder.columns == ()


@bounded
@given(st.lists(strategies.contacts, max_size=4))
def test_the_array_holds_the_objects_of_the_lines(contacts: list[Contact]) -> None:
    """A reader of JSON gets a list of exactly what a reader of the lines gets."""
    encoder = encoding.json_array()
    written = encoder.head + encoder.separator.join(map(encoder.record, contacts)) + encoder.tail
    read = json.loads(written if contacts else encoder.empty)
    assert read == [json.loads(line(contact)) for contact in contacts]
