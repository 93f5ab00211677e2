"""Metadata as YAML: what parsers of YAML 1.1 (PyYAML) and 1.2 (ruamel.yaml) read is what was written."""

import re
from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import limits, metadata
from service.domain.yaml_text import block_yaml
from tests.domain import hostile, strategies
from tests.domain.yaml_readers import READERS, Reader, each_reader, same

# A surrogate is no character: it cannot be encoded, so it never arrives.
CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]


def value(text: str) -> str:
    """How a text is written as a value."""
    return block_yaml({"a": text}).removeprefix("a: ")


def unsafe(code: int) -> bool:
    """What has to be escaped beyond JSON, by the words of the contract."""
    noncharacter = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFF in {0xFFFE, 0xFFFF}
    return 0x7F <= code <= 0x9F or code in {0x2028, 0x2029, 0xFEFF} or noncharacter


def test_metadata_is_written_like_this() -> None:
    """The text of a cell never changes: an export is compared by its hash."""
    document = {
        "channel": "web",
        "visits": 3,
        "score": -0.5,
        "consent": {"mail": False, "at": "2026-03-02", "more": {"by": None}},
        "tags": ["vip", 1, None, [], {}, {"a.b": "x", "c": [2.5]}],
        "none yet": {},
        "No": [],
    }
    assert block_yaml(document) == (
        'channel: "web"\n'
        "visits: 3\n"
        "score: -0.5\n"
        "consent:\n"
        "  mail: false\n"
        '  at: "2026-03-02"\n'
        "  more:\n"
        "    by: null\n"
        'tags: ["vip", 1, null, [], {}, {"a.b": "x", c: [2.5]}]\n'
        '"none yet": {}\n'
        '"No": []'
    )


def test_no_metadata_is_an_empty_object() -> None:
    """An empty document would be read as null, so the braces are written."""
    assert block_yaml({}) == "{}"


@each_reader
def test_an_empty_object_reads_as_one(read: Reader) -> None:
    """A pipeline gets an object from every row."""
    assert read(block_yaml({})) == {}


@each_reader
def test_each_hostile_scalar_reads_back_in_every_place(read: Reader) -> None:
    """As value, key, element, and below: equal in value and type."""
    for scalar in hostile.SCALARS:
        key = scalar if isinstance(scalar, str) else "k"
        document = {
            key: scalar,
            "list": [scalar, {key: scalar}, [scalar]],
            "below": {key: {key: scalar, "last": [scalar]}},
        }
        assert same(read(block_yaml(document)), document), repr(scalar)


@each_reader
def test_thousands_of_hostile_documents_read_back(read: Reader) -> None:
    """Members of all kinds beside and inside each other are equal in value, type and order."""
    for document in hostile.documents(4000):
        assert same(read(block_yaml(document)), document), document


@settings(max_examples=300, deadline=None)
@given(strategies.metadata)
def test_any_metadata_reads_back(document: dict[str, Any]) -> None:
    """No metadata that the service keeps is read as another one, by any parser."""
    for read in READERS.values():
        assert same(read(block_yaml(document)), document)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), st.text(), max_size=3))
def test_any_text_reads_back(document: dict[str, str]) -> None:
    """Keys and values of any characters are the same text again."""
    for read in READERS.values():
        assert same(read(block_yaml(document)), document)


@settings(max_examples=500, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: number % 1 != 0))
def test_any_float_reads_back(number: float) -> None:
    """Every digit of a number that is not whole is kept, and it stays a float."""
    for read in READERS.values():
        assert same(read(block_yaml({"a": number})), {"a": number})


@settings(max_examples=300, deadline=None)
@given(st.integers(-limits.WHOLE_NUMBER_BOUND + 1, limits.WHOLE_NUMBER_BOUND - 1))
def test_any_integer_reads_back(number: int) -> None:
    """Whole numbers are integers again."""
    for read in READERS.values():
        assert same(read(block_yaml({"a": number})), {"a": number})


@each_reader
def test_every_character_reads_back(read: Reader) -> None:
    """All 1,112,064 of Unicode, inside long texts."""
    for start in range(0, len(CHARACTERS), 50_000):
        document = {"a": "".join(CHARACTERS[start : start + 50_000])}
        assert read(block_yaml(document)) == document, hex(start)


def test_exactly_the_unsafe_characters_are_escaped() -> None:
    """Beyond what JSON escapes, 102 characters are written as a code, and all others as they are."""
    escaped = {ord(sign) for sign in CHARACTERS if value(sign) != f'"{sign}"'}
    by_json = {*range(32), ord('"'), ord("\\")}
    by_us = {ord(sign) for sign in CHARACTERS if unsafe(ord(sign))}
    assert len(by_us) == 102
    assert escaped == by_json | by_us


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", '""'),
        ("y", '"y"'),
        ("a b", '"a b"'),
        ('"', r'"\""'),
        ("\\", r'"\\"'),
        ("/", '"/"'),
        ("\x00", r'"\u0000"'),
        ("\b\f\n\r\t", r'"\b\f\n\r\t"'),
        ("\x1f~\x7f", r'"\u001f~\u007F"'),
        ("\x80\x85\x9f\xa0", r'"\u0080\u0085\u009F' + '\xa0"'),
        ("\u2027\u2028\u2029\u202a", '"\u2027\\u2028\\u2029\u202a"'),
        ("\ufdcf\ufdd0\ufdef\ufdf0", '"\ufdcf\\uFDD0\\uFDEF\ufdf0"'),
        ("\ufefe\ufeff\uff00", '"\ufefe\\uFEFF\uff00"'),
        ("\ufffd\ufffe\uffff\U00010000", '"\ufffd\\uFFFE\\uFFFF\U00010000"'),
        ("\U0001fffd\U0001fffe\U0001ffff", '"\U0001fffd\\U0001FFFE\\U0001FFFF"'),
        ("\U0010fffe\U0010ffff", r'"\U0010FFFE\U0010FFFF"'),
        ("Zo\u00eb \u4f60 \U0001f600", '"Zo\u00eb \u4f60 \U0001f600"'),
    ],
)
def test_text_is_quoted_and_escaped_like_this(text: str, written: str) -> None:
    """Text is always quoted; what a reader could lose is written as a code."""
    assert value(text) == written


@pytest.mark.parametrize("key", ["a", "A", "_", "_1", "Nope", "y_", "camelCase", "snake_case_2", "a" * 128])
def test_a_plain_key_is_written_plain(key: str) -> None:
    """Names as programs have them need no quotes."""
    assert block_yaml({key: 1}) == f"{key}: 1"


@pytest.mark.parametrize(
    "key",
    [
        *("y", "N", "yes", "No", "ON", "Off", "true", "FALSE", "null", "None", "NaN", "nan", "Inf", "inf"),
        *("", "1", "1e3", "0x10", "~", "<<", "=", "-", "?", "a b", "a-b", "a.b", "$ne", "2026-11-23", "a:"),
        *("na\u00efve", "\u0130", "\u017f", "a\n", "\uff41", "\u0661", "a\u0661"),
    ],
)
def test_any_other_key_is_quoted(key: str) -> None:
    """A key that some parser could take for more than a text is quoted, in block form and in flow form."""
    quoted = value(key)
    assert block_yaml({key: 1}) == f"{quoted}: 1"
    assert block_yaml({"a": [{key: 1}]}) == f"a: [{{{quoted}: 1}}]"


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "0"),
        (-1, "-1"),
        (2**53 - 1, "9007199254740991"),
        (-(2**53) + 1, "-9007199254740991"),
        (0.1, "0.1"),
        (-0.5, "-0.5"),
        (1e-7, "1.0e-07"),
        (1.5e-7, "1.5e-07"),
        (5e-324, "5.0e-324"),
        (2.2250738585072014e-308, "2.2250738585072014e-308"),
        (4503599627370495.5, "4503599627370495.5"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
    ],
)
def test_numbers_and_constants_are_written_like_this(number: float | None, written: str) -> None:
    """Integers are plain, floats have a dot and a signed exponent."""
    assert block_yaml({"a": number}) == f"a: {written}"


def test_an_integer_of_the_driver_is_an_integer() -> None:
    """What comes as a subclass of int, as large integers do from MongoDB, is written like any other."""
    large = type("Int64", (int,), {})(2**40)
    assert block_yaml({"a": large, "b": [large]}) == f"a: {2**40}\nb: [{2**40}]"


@each_reader
@pytest.mark.parametrize(
    "sign", ["\x00", "\x7f", "\x85", "\u2028", "\ufeff", "\uffff", "\U0001fffe", '"', "k", "\U0001f600"]
)
def test_the_longest_keys_read_back(read: Reader, sign: str) -> None:
    """A parser looks for the colon within 1,024 characters: no key of 128 bytes grows beyond, anywhere."""
    key = sign * (limits.METADATA_KEY_BYTES // len(sign.encode()))
    document = {key: {key: [{key: 1}, {key: {key: []}}]}}
    assert same(read(block_yaml(document)), document)
    assert len(value(key)) < 1000


@each_reader
def test_long_texts_read_back(read: Reader) -> None:
    """30 KB are one line, as value and as element: nothing folds or trims them."""
    words = " ".join(hostile.TEXTS) * (30_000 // len(" ".join(hostile.TEXTS)) + 1)
    spaces = "a" + " " * 30_000
    document = {"a": words, "b": [words, "x"], "c": spaces, "d": "k" * 30_000 + ": "}
    assert same(read(block_yaml(document)), document)


def nested(*wraps: Callable[[Any], Any]) -> dict[str, Any]:
    """The deepest metadata that is legal, wrapped by each in turn."""
    inner: Any = "end"
    for _, wrap in zip(range(limits.METADATA_LEVELS - 1), cycle(wraps), strict=False):
        inner = wrap(inner)
    return metadata.checked(metadata.normalised({"a": inner}))


DEEPEST = {
    "objects": nested(lambda inner: {"k": inner}),
    "wide objects": nested(lambda inner: {"y": 1, ": ": inner, "no": "no"}),
    "lists": nested(lambda inner: [inner]),
    "wide lists": nested(lambda inner: [1, inner, None]),
    "lists of objects": nested(lambda inner: {"k": inner, "- ": "x"}, lambda inner: [inner, "y"]),
    "one list inside": nested(lambda inner: [inner], *[lambda inner: {"k": inner}] * limits.METADATA_LEVELS),
}


@each_reader
@pytest.mark.parametrize("document", DEEPEST.values(), ids=DEEPEST)
def test_the_deepest_metadata_reads_back(read: Reader, document: dict[str, Any]) -> None:
    """16 levels of objects, of lists, and of both."""
    assert same(read(block_yaml(document)), document)


@each_reader
def test_the_widest_metadata_reads_back(read: Reader) -> None:
    """256 leaves, side by side and in one list."""
    wide = {f"k{number}": number for number in range(limits.METADATA_LEAVES)}
    long = {"a": [str(number) for number in range(limits.METADATA_LEAVES)]}
    assert same(read(block_yaml(wide)), wide)
    assert same(read(block_yaml(long)), long)


def test_a_document_is_lines_and_nothing_else() -> None:
    """No line end but the line feed between members, none at the end, and no other sign below U+0020."""
    for document in hostile.documents(500, seed=6):
        written = block_yaml(document)
        assert not re.search("[\x00-\x09\x0b-\x1f]", written)
        assert written.splitlines() == written.split("\n")
        assert not written.endswith("\n")
