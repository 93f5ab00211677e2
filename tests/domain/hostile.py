"""Metadata and contacts that readers of YAML, CSV and spreadsheets stumble over; the same in every run."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from service.domain import ids
from service.domain.contact import Contact
from tests.domain.strategies import EPOCH

# Other types to some parser of YAML, its signs, its numbers, its times.
_WORDS = r"""
y Y n N yes Yes no NO on On off OFF true TRUE false False null Null NULL ~ none None nan NaN .nan inf Inf .inf
-.INF +.inf = << - -- --- ... ? : :: # & &a * *a ! !!str !!python/none % %YAML @ ` | > |- >- [ ] { } [] {} ,
' '' " "" \ \n \u0041 \" 0 -0 1 +1 -1 01 007 08 0o7 0o17 0x10 0X1F 0b1 1_000 1e3 1E+3 1. 1.0 .5 -.5 1.5e-7
5e-324 1:30 190:20:30 12:30:45.5 2026-11-23 2026-11-23T10:00:00Z 2001-12-14t21:59:43.10-05:00 _ _1 a.b a-b $ne
=1+1 +47 -1+1 @SUM(1) '=1 =cmd|'/C'!A1 =HYPERLINK("a","b") ;=1+1
""".split()  # noqa: SIM905 (a list of 120 would stand on as many lines)
# Line ends, space, marks, what cannot be printed, and what is no character; with their neighbours.
_SIGNS = [
    *("", " ", "  ", "\t", "\n", "\n\n", "\r", "\r\n", "\x00", "\x07", "\x0b", "\x0c", "\x1b", "\x1c"),
    *("\x1f", "~", "\x7f", "\x80", "\x84", "\x85", "\x86", "\x9f", "\xa0", "\xad", "\u200b", "\u2027"),
    *("\u2028", "\u2029", "\u202a", "\u202e", "\u2060", "\u3000", "\ud7ff", "\ue000", "\ufdcf", "\ufdd0"),
    *("\ufdef", "\ufdf0", "\ufefe", "\ufeff", "\uff00", "\ufffd", "\ufffe", "\uffff", "\U00010000"),
    *("\U0001fffe", "\U0001ffff", "\U0002fffd", "\U000e0001", "\U000ffffe", "\U0010fffd", "\U0010ffff"),
]
_PHRASES = [
    *(" a", "a ", "a: b", "a:b", "a #b", "? a", "- a", "a\nb", "a\r\nb", "\ta", " =1+1", "a,b", "a;b"),
    *("\ufeff=1+1", "\u200b=1+1", "\xa0=1+1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20a", "\uff071"),
    *(
        "Zo\u00eb O'Neill",
        "e\u0301",
        "\u4f60\u597d",
        "\U0001f600",
        "\U0001f469\u200d\U0001f467",
        "na\u00efve",
    ),
]
TEXTS = [*_WORDS, *_SIGNS, *_PHRASES]
NUMBERS: list[int | float] = [
    *(0, 1, -1, 8, 2**31, -(2**31) - 1, 2**53 - 1, -(2**53) + 1, 0.1, -0.5, 1 / 3, 1e-5, 1e-7, -1e-7, 1.5e-7),
    *(5e-324, -5e-324, 2.2250738585072014e-308, 1e-300, 4503599627370495.5, -4503599627370495.5, 1e15 + 0.5),
]
SCALARS: list[Any] = [None, True, False, *NUMBERS, *TEXTS]
# What a text field takes of them: no control characters, except lines in the two long ones.
_FIELD_TEXTS = [text for text in TEXTS if not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in text)]
_LINE_TEXTS = [
    *_FIELD_TEXTS,
    "\t",
    "\n",
    "\r",
    "\r\n=1+1",
    "\t=1+1",
    "\n=1+1",
    "\r=1+1",
    "a\n=1+1",
    "a\rb",
    "a\t",
]


def documents(count: int, seed: int = 5) -> Iterator[dict[str, Any]]:
    """Metadata of a few members, four levels deep at most."""
    pick = random.Random(seed)  # noqa: S311 (nothing secret)
    return (_document(pick, levels=4) for _ in range(count))


def contacts(count: int, seed: int = 5) -> list[Contact]:
    """Contacts within the limits, in the order of their ids."""
    pick = random.Random(seed)  # noqa: S311 (nothing secret)
    return [_contact(pick, number) for number in range(count)]


def contact_of_each_text() -> list[Contact]:
    """A contact for each text that a field takes, with this text in all fields."""
    names = ("name", "description", "email", "phone", "nickname", "preferences")
    return [
        _born(number, fingerprint=text or "d1:ABC", metadata={text: text}, **dict.fromkeys(names, text))
        for number, text in enumerate(_LINE_TEXTS)
    ]


def _document(pick: random.Random, levels: int) -> dict[str, Any]:
    return {_text(pick, TEXTS): _value(pick, levels - 1) for _ in range(pick.randint(0, 6))}


def _value(pick: random.Random, levels: int) -> Any:
    kind = pick.random()
    if levels and kind < 0.2:
        return _document(pick, levels)
    if levels and kind < 0.4:
        return [_value(pick, levels - 1) for _ in range(pick.randint(0, 4))]
    if kind < 0.5:
        return pick.choice([True, False])
    return pick.choice(NUMBERS) if kind < 0.6 else _text(pick, TEXTS)


def _text(pick: random.Random, atoms: list[str]) -> str:
    return "".join(pick.choices(atoms, k=pick.choice([1, 1, 1, 2, 3])))


def _contact(pick: random.Random, number: int) -> Contact:
    fields = {name: _text(pick, _FIELD_TEXTS) for name in ("name", "email", "phone", "nickname")}
    lines = {name: _text(pick, _LINE_TEXTS) for name in ("description", "preferences")}
    absent = pick.sample([*fields, *lines], k=2)
    texts = {name: "" if name in absent else text for name, text in (fields | lines).items()}
    fingerprint = _text(pick, _FIELD_TEXTS) or "d1:ABC"
    verified = pick.choice([None, EPOCH + timedelta(milliseconds=pick.randrange(2**41))])
    return _born(
        number, fingerprint=fingerprint, metadata=_document(pick, levels=3), verified_at=verified, **texts
    )


def _born(number: int, **fields: Any) -> Contact:
    return Contact(
        id=ids.lower_bound("demo", 1_767_225_600_000 + number * 7),
        trusted=number % 2 == 0,
        updated_at=EPOCH + timedelta(days=20_000, milliseconds=number * 499),
        rev=1 + number % 12,
        **fields,
    )
