"""From the bytes of metadata to what is kept of it: the compiled part has the rules that Python has."""

import math
from typing import Any

import pytest

from contactservice.v1.contact_pb2 import Contact
from service.native import compiled
from tests.rpc.drafts import check_not_other, check_same, in_python, natively, struct

pytestmark = pytest.mark.skipif(not compiled, reason="the compiled part is not built")


def deep(levels: int, innermost: Any, *, lists: bool = False) -> Any:
    for _ in range(levels):
        innermost = [innermost] if lists else {"a": innermost}
    return innermost


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"a": None},
        {"a": None, "b": 1, "c": {"d": None}, "e": [None, {"f": None}]},
        {"a": {}, "b": [], "c": [[], {}]},
        {"a.b": 1, "$ne": "x", "\0": True, "%2E": 1, "naïve": 1},
        {"k" * 128: 1},
        {"ß" * 64: 1},
        {"a": -0.0, "b": 1e15, "c": 1.5, "d": 2.0**53 - 1, "e": -(2.0**53) + 1, "f": 5e-324, "g": 1e15 + 0.5},
        {"a": True, "b": False, "c": "", "d": "\0\ud7ff\uffff😀"},
        {"a": [0] * 256},
        {str(number): number for number in range(256)},
        {"a": [None] * 255, "b": None, "c": 1},
        {"a": [{"b": None}] * 256},
        deep(16, 1),
        {"a": deep(14, {}, lists=True)},
    ],
    ids=lambda metadata: ascii(metadata)[:40],
)
def test_metadata_within_the_rules_is_read(metadata: dict[str, Any]) -> None:
    """Nulls go, empty containers stay, whole numbers are integers."""
    check_same(Contact(metadata=struct(metadata)))


@pytest.mark.parametrize(
    "metadata",
    [
        {"": 1},
        {"": None},
        {"a": [{"": 1}]},
        {"k" * 129: 1},
        {"ß" * 65: 1},
        {"a": math.nan},
        {"a": [math.inf]},
        {"a": {"b": -math.inf}},
        {"a": 1e20},
        {"a": 2.0**53},
        {"a": [-(2.0**53)]},
        {"a": [0] * 257},
        {"a": [{}] * 257},
        {str(number): number for number in range(257)},
        {"a": [0] * 200, "b": {"c": [0] * 56}, "d": 1},
        deep(17, 1),
        deep(16, []),
        {"a": deep(16, 1, lists=True)},
        {"a": "x" * 40_000},
        {"a": '"' * 20_000},
        {"a": "\x01" * 5500},
    ],
    ids=lambda metadata: ascii(metadata)[:40],
)
def test_metadata_that_breaks_a_rule_is_left_to_python(metadata: dict[str, Any]) -> None:
    """Python then says which rule."""
    message = Contact(metadata=struct(metadata))
    assert in_python(message) is None
    assert natively(message.SerializeToString()) is None


def test_metadata_near_its_size_limit() -> None:
    """The limit is one of JSON: what might become longer than it is Python's."""
    for size in (5400, 5440, 5460, 5480, 8000, 32_700, 32_757, 32_758):
        for sign in ("x", '"', "\x01", "ß"):
            check_not_other(Contact(metadata=struct({"a": sign * (size // len(sign.encode()))})))
