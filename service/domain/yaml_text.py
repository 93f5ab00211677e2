"""Metadata as block YAML that parsers of YAML 1.1 and of 1.2 read back to the same values and types.

Text is always quoted, so none is taken for a number, a date or a boolean. Written by hand: a library takes
fifteen to 150 times as long, and leaves texts bare that the next parser reads as something else.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring
from types import NoneType
from typing import Any

from service.domain.contact import Metadata

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What some parser takes for another type than text, in any case.
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"})
# Bare in JSON, but refused, lost or taken for a line end by some YAML reader: DEL and C1, U+2028, U+2029,
# U+FEFF and the 66 noncharacters, two of them at the end of each plane.
_PLANE_ENDS = "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
_UNSAFE = re.compile(f"[\x7f-\x9f\u2028\u2029\ufdd0-\ufdef\ufeff{_PLANE_ENDS}]")


def block_yaml(metadata: Metadata) -> str:
    """The metadata as lines, without an end after the last one; `{}` when it is empty."""
    if not metadata:
        return "{}"
    lines = _lines(metadata, "")
    text = "\n".join(lines)
    # No unsafe character is printable to Python: that is asked first, because the search takes ten times as
    # long. All of them stand in quotes, so one search does for the whole.
    if (text.isascii() and "\x7f" not in text) or all(map(str.isprintable, lines)):
        return text
    return _UNSAFE.sub(_escape, text)


def _lines(members: Metadata, margin: str) -> list[str]:
    lines = []
    for key, value in members.items():
        if value and isinstance(value, dict):
            lines.append(f"{margin}{_key(key)}:")
            lines += _lines(value, margin + "  ")
        else:
            lines.append(f"{margin}{_key(key)}: {_flow(value)}")
    return lines


def _flow(value: Any) -> str:
    # str writes integers, also the subclass that a database driver may bring.
    return _FORMS.get(type(value), str)(value)


def _list(elements: list[Any]) -> str:
    return f"[{', '.join(map(_flow, elements))}]"


def _object(members: Metadata) -> str:
    return f"{{{', '.join([f'{_key(key)}: {_flow(value)}' for key, value in members.items()])}}}"


def _float(value: float) -> str:
    text = repr(value)
    # YAML 1.1 knows no float without a dot.
    return text if "." in text else text.replace("e", ".0e")


_FORMS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    bool: {True: "true", False: "false"}.__getitem__,
    float: _float,
    NoneType: lambda _: "null",
    list: _list,
    dict: _object,
}


# Accounts use few keys, over and over.
@lru_cache(maxsize=4096)
def _key(key: str) -> str:
    plain = _PLAIN_KEY.fullmatch(key) and key.lower() not in _NOT_TEXT
    return key if plain else encode_basestring(key)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
