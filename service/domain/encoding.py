"""The texts of an export: how one contact is written, and what stands around all of them.

An encoder is the one seam between the export and its formats. The file is `head`, the records joined by
`separator`, `tail`; a file without records is `empty`. So any part of it can be written by another process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from service.domain.contact import TEXT_FIELDS, Contact

# Legal in JSON, but line ends to many readers (str.splitlines, JavaScript): a record is one line for all.
_LINE_ENDS = (("\u2028", "\\u2028"), ("\u2029", "\\u2029"), ("\u0085", "\\u0085"))
_ESCAPES = tuple((raw.encode(), escape.encode()) for raw, escape in _LINE_ENDS)


@dataclass(frozen=True, slots=True)
class Encoder:
    """One text format. `record` gives one contact as bytes, without what stands between two."""

    content_type: str
    record: Callable[[Contact], bytes]
    head: bytes = b""
    separator: bytes = b""
    tail: bytes = b""
    empty: bytes = b""
    columns: tuple[str, ...] = ()


def json_lines() -> Encoder:
    """One JSON object a line, each ended by a line feed."""
    return Encoder("application/jsonl", lambda contact: json_object(contact) + b"\n")


def json_object(contact: Contact) -> bytes:
    """All fields in proto order, protojson names, null for absent: what protojson parses into a Contact."""
    encoded = orjson.dumps(_fields(contact))
    for raw, escape in _ESCAPES:
        if raw in encoded:
            encoded = encoded.replace(raw, escape)
    return encoded


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _fields(contact: Contact) -> dict[str, Any]:
    texts = {name: getattr(contact, name) or None for name in TEXT_FIELDS}
    return {
        "id": contact.id,
        "fingerprint": contact.fingerprint,
        "trusted": contact.trusted,
        **texts,
        "metadata": contact.metadata,
        "verifiedAt": timestamp(contact.verified_at) if contact.verified_at else None,
        "createdAt": timestamp(contact.created_at),
        "updatedAt": timestamp(contact.updated_at),
        "etag": contact.etag,
    }
