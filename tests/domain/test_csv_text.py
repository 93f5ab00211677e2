"""CSV: what Python's own reader gets back, and what no spreadsheet can take for a formula."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from contactservice.v1 import contact_pb2
from service.domain import encoding, ids
from service.domain.contact import Contact
from service.domain.csv_text import raw_cell, safe_cell
from service.domain.encoding import Encoder
from service.domain.yaml_text import block_yaml
from tests.domain import hostile, strategies
from tests.domain.strategies import bounded

PLAIN = Contact(
    id=ids.lower_bound("demo", 1_767_225_600_123),
    fingerprint="user:1",
    trusted=True,
    updated_at=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
)
# By the words of the contract: the signs, and their fullwidth forms.
STARTS = ["=", "+", "-", "@", "'", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\uff07"]
any_text = st.text(st.characters(codec="utf-8") | st.sampled_from([*STARTS, ",", '"', " "]), max_size=8)
each_cells = pytest.mark.parametrize("safe", [True, False], ids=["safe", "raw"])


def file(encoder: Encoder, contacts: list[Contact]) -> str:
    return (encoder.head + encoder.separator.join(map(encoder.record, contacts)) + encoder.tail).decode()


def rows(text: str) -> list[list[str]]:
    """The cells, by a reader that refuses what RFC 4180 does."""
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def raw_cells(contact: Contact) -> list[str]:
    """What stands in the columns before anything is done to it, times and metadata as the JSON has them."""
    return [
        contact.id,
        contact.fingerprint,
        str(contact.trusted).lower(),
        contact.name,
        contact.description,
        contact.email,
        contact.phone,
        contact.nickname,
        contact.preferences,
        block_yaml(contact.metadata),
        encoding.timestamp(contact.verified_at) if contact.verified_at else "",
        encoding.timestamp(contact.created_at),
        encoding.timestamp(contact.updated_at),
        contact.etag,
    ]


def test_a_file_is_written_like_this() -> None:
    """The bytes of a file never change: an export is compared by its hash."""
    contact = replace(
        PLAIN, name="Zo\u00eb", description='a, "b"\r\n', phone="+47 1", metadata={"a": "b", "c": 1}
    )
    assert file(encoding.comma_separated(safe=True, bom=False), [contact, PLAIN]) == (
        "id,fingerprint,trusted,name,description,email,phone,nickname,preferences,metadata,"
        "verifiedAt,createdAt,updatedAt,etag\r\n"
        'ct_5ABN2V1N9DM801KDVDNA3V0000000000000000,user:1,true,Zo\u00eb,"a, ""b""\r\n",,\'+47 1,,,'
        '"a: ""b""\nc: 1",,2026-01-01T00:00:00.123Z,2026-01-02T03:04:05.678Z,1\r\n'
        "ct_5ABN2V1N9DM801KDVDNA3V0000000000000000,user:1,true,,,,,,,{},"
        ",2026-01-01T00:00:00.123Z,2026-01-02T03:04:05.678Z,1\r\n"
    )


def test_the_columns_are_the_fields_of_the_proto() -> None:
    """Each field of Contact is a column under its protojson name, in the order of the .proto."""
    fields = sorted(contact_pb2.Contact.DESCRIPTOR.fields, key=lambda field: field.number)
    encoder = encoding.comma_separated(safe=True, bom=False)
    assert encoder.columns == tuple(field.json_name for field in fields)
    assert rows(encoder.head.decode()) == [[*encoder.columns]]


@each_cells
def test_without_contacts_the_file_is_its_header(safe: bool) -> None:
    """A reader finds the columns in an empty export too."""
    encoder = encoding.comma_separated(safe=safe, bom=False)
    assert encoder.empty == encoder.head
    assert encoder.head.endswith(b",etag\r\n")
    assert encoder.separator == encoder.tail == b""
    assert encoder.content_type == "text/csv; charset=utf-8"


def test_the_byte_order_mark_stands_once_before_the_header() -> None:
    """With the mark the file is the same but for its first three bytes, also when it is empty."""
    plain, marked = (encoding.comma_separated(safe=True, bom=bom) for bom in (False, True))
    assert marked.head == b"\xef\xbb\xbf" + plain.head
    assert marked.empty == b"\xef\xbb\xbf" + plain.empty
    assert marked.record(PLAIN) == plain.record(PLAIN)
    assert marked.columns == plain.columns


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("", ""),
        ("a b", "a b"),
        ("a;b|c'd", "a;b|c'd"),
        ("a,b", '"a,b"'),
        ('"', '""""'),
        ('a"b"', '"a""b"""'),
        ("a\nb", '"a\nb"'),
        ("a\rb", '"a\rb"'),
        ("a\r\nb", '"a\r\nb"'),
        (" a", '" a"'),
        ("a ", '"a "'),
        ("a\t", '"a\t"'),
        ("\xa0a", '"\xa0a"'),
        ("a\u3000", '"a\u3000"'),
        ('",\n', '""",\n"'),
        ("=1+1", "=1+1"),
    ],
)
def test_a_cell_is_quoted_where_it_has_to_be(text: str, cell: str) -> None:
    """Commas, quotes, line ends and white space at the edges call for quotes, and nothing else does."""
    assert raw_cell(text) == cell


@pytest.mark.parametrize("start", STARTS, ids=ascii)
@pytest.mark.parametrize("rest", ["", "1+1", ",\"\n'"], ids=["alone", "formula", "quoted"])
def test_a_formula_gets_an_apostrophe(start: str, rest: str) -> None:
    """The apostrophe stands inside the quotes, before each sign that begins a formula, and before itself."""
    assert rows(safe_cell(start + rest)) == [["'" + start + rest]]
    assert rows(raw_cell(start + rest)) == [[start + rest]]


@pytest.mark.parametrize(
    "text", ["a=1", "1+1", "a@b.no", "O'Neill", "a\t=1", "\u2212 1", "*1", "%1", "a\n=1"]
)
def test_another_cell_gets_none(text: str) -> None:
    """A sign inside a text begins nothing: addresses and names look as they are."""
    assert safe_cell(text) == raw_cell(text)


@bounded
@given(st.lists(any_text, min_size=2, max_size=5))
def test_any_cells_read_back(texts: list[str]) -> None:
    """A row of any texts is read as these texts, or with the apostrophes that make it safe."""
    assert rows(",".join(map(raw_cell, texts)) + "\r\n") == [texts]
    read = rows(",".join(map(safe_cell, texts)) + "\r\n")[0]
    assert [cell.removeprefix("'") for cell in read] == texts


@bounded
@given(any_text)
def test_no_safe_cell_begins_a_formula(text: str) -> None:
    """The first sign that a spreadsheet sees is the apostrophe, or harmless."""
    seen = rows(safe_cell(text) + ",x")[0][0]
    assert not seen.startswith(tuple(start for start in STARTS if start != "'"))
    assert seen[:1] != "'" or seen[1:] == text


@bounded
@given(st.lists(strategies.contacts, max_size=4))
def test_a_raw_file_reads_back(contacts: list[Contact]) -> None:
    """Python's reader gets the value of every field, and nothing for an absent one."""
    text = file(encoding.comma_separated(safe=False, bom=False), contacts)
    assert rows(text)[1:] == [raw_cells(contact) for contact in contacts]


@bounded
@given(st.lists(strategies.contacts, max_size=4))
def test_a_safe_file_reads_back(contacts: list[Contact]) -> None:
    """One apostrophe taken away where there is one, every cell of every column is the value again."""
    text = file(encoding.comma_separated(safe=True, bom=False), contacts)
    read = [[cell.removeprefix("'") for cell in row] for row in rows(text)[1:]]
    assert read == [raw_cells(contact) for contact in contacts]


def test_no_cell_of_a_safe_file_begins_a_formula() -> None:
    """Not one of the columns, the metadata included, is left out of the defence."""
    contacts = [*hostile.contact_of_each_text(), *hostile.contacts(1000)]
    read = rows(file(encoding.comma_separated(safe=True, bom=False), contacts))
    starts = tuple(start for start in STARTS if start != "'")
    assert len(read) == len(contacts) + 1
    assert [cell for row in read for cell in row if cell.startswith(starts)] == []


@each_cells
def test_the_metadata_of_a_file_reads_back(safe: bool) -> None:
    """What comes out of the cell is YAML of the metadata."""
    contacts = hostile.contacts(500)
    column = encoding.COLUMNS.index("metadata")
    read = rows(file(encoding.comma_separated(safe=safe, bom=False), contacts))[1:]
    assert [yaml.load(row[column], yaml.SafeLoader) for row in read] == [
        contact.metadata for contact in contacts
    ]


@each_cells
def test_every_row_ends_with_crlf_and_has_all_columns(safe: bool) -> None:
    """Each record is a row of its own, whatever ends of lines are in it."""
    encoder = encoding.comma_separated(safe=safe, bom=False)
    for contact in hostile.contact_of_each_text():
        record = encoder.record(contact).decode()
        assert record.endswith(contact.etag + "\r\n")
        assert [len(row) for row in rows(record)] == [len(encoder.columns)]
