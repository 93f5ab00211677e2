"""Metadata: what may be kept, and how a patch merges into it (RFC 7396).

A null member is never stored; a null inside a list is a value like any other. Whole numbers are integers.
"""

import math
from collections.abc import Iterator
from typing import Any

import orjson

from service.domain import limits
from service.domain.contact import Metadata
from service.domain.errors import MetadataInvalid, Violation


def normalised(raw: Metadata) -> Metadata:
    """The patch with exact numbers and null members kept (they delete); raises MetadataInvalid."""
    return _object(raw, level=1, keep_null=True)


def merged(stored: Metadata, patch: Metadata) -> Metadata:
    """JSON merge patch: objects merge at every level, null deletes, lists and scalars replace."""
    result = dict(stored)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = value
    return result


def checked(metadata: Metadata) -> Metadata:
    """The metadata itself, within the limits of size and leaves; raises MetadataInvalid."""
    if sum(1 for _ in _leaves(metadata)) > limits.METADATA_LEAVES:
        raise _too_many_leaves()
    size = len(orjson.dumps(metadata))
    if size > limits.METADATA_BYTES:
        raise _invalid(f"at most {limits.METADATA_BYTES} bytes as compact JSON, got {size}")
    return metadata


def number(value: float) -> int | float:
    """A whole number as an integer, any other as it is; raises ValueError with the broken rule."""
    if not math.isfinite(value):
        raise ValueError("NaN and infinity cannot be kept")
    if value != int(value):
        return value
    if abs(value) >= limits.WHOLE_NUMBER_BOUND:
        raise ValueError("a whole number of 2^53 or more is not exact, send it as text")
    return int(value)


def _object(value: Metadata, level: int, *, keep_null: bool) -> Metadata:
    _check_level(level)
    return {
        _key(key): _value(member, level, keep_null=keep_null)
        for key, member in value.items()
        if keep_null or member is not None
    }


def _value(value: Any, level: int, *, keep_null: bool) -> Any:
    if isinstance(value, dict):
        return _object(value, level + 1, keep_null=keep_null)
    if isinstance(value, list):
        _check_level(level + 1)
        if len(value) > limits.METADATA_LEAVES:
            raise _too_many_leaves()
        # Inside a list nothing merges, so a null member of an object there would delete nothing: it goes.
        return [_value(element, level + 1, keep_null=False) for element in value]
    if isinstance(value, float):
        try:
            return number(value)
        except ValueError as error:
            raise _invalid(str(error)) from error
    return value


def _key(key: str) -> str:
    if not 1 <= len(key.encode()) <= limits.METADATA_KEY_BYTES:
        raise _invalid(f"a key has 1 to {limits.METADATA_KEY_BYTES} bytes")
    return key


def _check_level(level: int) -> None:
    if level > limits.METADATA_LEVELS:
        raise _invalid(f"at most {limits.METADATA_LEVELS} levels")


def _leaves(value: Any) -> Iterator[None]:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not members:
        yield None
    for member in members:
        yield from _leaves(member)


def _too_many_leaves() -> MetadataInvalid:
    return _invalid(f"at most {limits.METADATA_LEAVES} leaves (scalars, list elements, empty containers)")


def _invalid(rule: str) -> MetadataInvalid:
    return MetadataInvalid(Violation("contact.metadata", rule))
