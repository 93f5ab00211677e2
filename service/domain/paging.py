"""Tokens that continue a list, an export or a watch: signed, versioned, bound to one request of one account.

A token is base64url over a version byte, a JSON array (purpose, binding, state) and 16 bytes of HMAC-SHA256.
It holds the last key, so the row it names need not exist any more, and no replica keeps state for it.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import orjson

from service.domain.errors import PageTokenInvalid, PageTokenMismatch, Violation

_VERSION = b"\x01"
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True)
class ListPosition:
    """Where the next page begins: after this id."""

    after: str


@dataclass(frozen=True, slots=True)
class ExportPosition:
    """How far an export is, over all its streams.

    `operation_time` is the database's when the first stream began (seconds << 32 | increment, 0: unknown).
    A file is one part of the export; its text has begun when it has records, and may be closed already.
    """

    operation_time: int
    after: str = ""
    records: int = 0
    bytes: int = 0
    file_records: int = 0
    file_closed: bool = False


@dataclass(frozen=True, slots=True)
class WatchPosition:
    """Behind which change a watch goes on: by the database's own name for it or, without one, by a time.

    The time is as that of an ExportPosition; without either it is now.
    """

    after: str = ""
    operation_time: int = 0


def watch_binding(selection: Any) -> str:
    """What the token of a watch belongs to, also where an export gives it: the order means nothing."""
    return binding("WatchContacts", selection.account, selection.filter)


def binding(*request: Any) -> str:
    """What a token belongs to: a hash over plain values and dataclasses, equal for equal requests."""
    encoded = orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(encoded).hexdigest()[:32]


class TokenSigner:
    """Signs with the first key, accepts any of them. A key has 32 bytes."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def sign(self, bound_to: str, position: ListPosition | ExportPosition | WatchPosition) -> str:
        state = [type(position).__name__, bound_to, *astuple(position)]
        signed = _VERSION + orjson.dumps(state)
        return base64.urlsafe_b64encode(signed + _mac(self._keys[0], signed)).decode().rstrip("=")

    def mark(self, content: bytes) -> str:
        """A short hash of the content that only who has the first key can compute, or try."""
        return _mac(self._keys[0], b"mark" + content)[:8].hex()

    def list_position(self, token: str, bound_to: str) -> ListPosition:
        return ListPosition(*self._open(token, ListPosition.__name__, bound_to, "page_token"))

    def export_position(self, token: str, bound_to: str) -> ExportPosition:
        return ExportPosition(*self._open(token, ExportPosition.__name__, bound_to, "resume_token"))

    def watch_position(self, token: str, bound_to: str) -> WatchPosition:
        return WatchPosition(*self._open(token, WatchPosition.__name__, bound_to, "resume_token"))

    def _open(self, token: str, purpose: str, bound_to: str, field: str) -> list[Any]:
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise _invalid(field) from error
        signed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if signed[:1] != _VERSION or not any(
            hmac.compare_digest(_mac(key, signed), mac) for key in self._keys
        ):
            raise _invalid(field)
        if base64.urlsafe_b64encode(raw).decode().rstrip("=") != token:
            raise _invalid(field)
        signed_purpose, signed_binding, *state = orjson.loads(signed[1:])
        if (signed_purpose, signed_binding) != (purpose, bound_to):
            rule = "belongs to another request; send it with the filter, order and format it was made for"
            raise PageTokenMismatch(Violation(field, rule))
        return list(state)


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")[:_MAC_BYTES]


def _invalid(field: str) -> PageTokenInvalid:
    return PageTokenInvalid(Violation(field, "is not a token of this service, or was changed"))
