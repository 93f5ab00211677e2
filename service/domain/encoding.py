"""The texts of an export: how one contact is written, and what stands around all of them.

An encoder is the one seam between the export and its formats. The file is `head`, the records joined by
`separator`, `tail`; a file without records is `empty`. So any part of it can be written by another process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson

from service.domain import csv_text
from service.domain.contact import Contact
from service.domain.yaml_text import block_yaml

# The fields of Contact in proto order, by their JSON names.
COLUMNS = (
    "id",
    "fingerprint",
    "trusted",
    "name",
    "description",
    "email",
    "phone",
    "nickname",
    "preferences",
    "metadata",
    "verifiedAt",
    "createdAt",
    "updatedAt",
    "etag",
)

# Legal in JSON, but line ends to many readers (str.splitlines, JavaScript): a record is one line for all.
_LINE_ENDS = (("\u2028", "\\u2028"), ("\u2029", "\\u2029"), ("\u0085", "\\u0085"))
_ESCAPES = tuple((raw.encode(), escape.encode()) for raw, escape in _LINE_ENDS)


@dataclass(frozen=True, slots=True)
class Encoder:
    """One format. `record` gives one contact as bytes, without what stands between two.

    Under `name` the compiled part of the storage knows the format; its records are the same bytes.
    """

    name: str
    content_type: str
    record: Callable[[Contact], bytes]
    head: bytes = b""
    separator: bytes = b""
    tail: bytes = b""
    empty: bytes = b""
    columns: tuple[str, ...] = ()


class Piece(NamedTuple):
    """Records, joined by the separator of their format, and the id of the last one."""

    text: bytes
    records: int
    last_id: str


def json_lines() -> Encoder:
    """One JSON object a line, each ended by a line feed."""
    return Encoder("jsonl", "application/jsonl", lambda contact: json_object(contact) + b"\n")


def json_array() -> Encoder:
    """One JSON array, one object a line."""
    return Encoder(
        "json",
        "application/json",
        json_object,
        head=b"[\n",
        separator=b",\n",
        tail=b"\n]\n",
        empty=b"[]\n",
    )


def comma_separated(*, safe: bool, bom: bool) -> Encoder:
    """CSV, always with a header line. Safe cells are no formulas; a byte order mark tells readers UTF-8."""
    header = (("\ufeff" if bom else "") + ",".join(COLUMNS) + csv_text.LINE_END).encode()
    cell = csv_text.safe_cell if safe else csv_text.raw_cell
    return Encoder(
        "csv-safe" if safe else "csv-raw",
        "text/csv; charset=utf-8",
        lambda contact: csv_row(contact, cell),
        head=header,
        empty=header,
        columns=COLUMNS,
    )


def json_object(contact: Contact) -> bytes:
    """All fields in proto order, protojson names, null for absent: what protojson parses into a Contact."""
    encoded = orjson.dumps(
        {
            "id": contact.id,
            "fingerprint": contact.fingerprint,
            "trusted": contact.trusted,
            "name": contact.name or None,
            "description": contact.description or None,
            "email": contact.email or None,
            "phone": contact.phone or None,
            "nickname": contact.nickname or None,
            "preferences": contact.preferences or None,
            "metadata": contact.metadata,
            "verifiedAt": timestamp(contact.verified_at) if contact.verified_at else None,
            "createdAt": timestamp(contact.created_at),
            "updatedAt": timestamp(contact.updated_at),
            "etag": contact.etag,
        }
    )
    if encoded.isascii():
        return encoded
    for raw, escape in _ESCAPES:
        encoded = encoded.replace(raw, escape)
    return encoded


def csv_row(contact: Contact, cell: Callable[[str], str]) -> bytes:
    """The fields as cells in the order of the columns, with the line end; an absent one is an empty cell."""
    cells = (
        # What does not go through `cell` is never a formula.
        contact.id,
        cell(contact.fingerprint),
        "true" if contact.trusted else "false",
        contact.name and cell(contact.name),
        contact.description and cell(contact.description),
        contact.email and cell(contact.email),
        contact.phone and cell(contact.phone),
        contact.nickname and cell(contact.nickname),
        contact.preferences and cell(contact.preferences),
        csv_text.raw_cell(block_yaml(contact.metadata)),
        timestamp(contact.verified_at) if contact.verified_at else "",
        timestamp(contact.created_at),
        timestamp(contact.updated_at),
        contact.etag,
    )
    return (",".join(cells) + csv_text.LINE_END).encode()


def timestamp(moment: datetime) -> str:
    """RFC 3339 with milliseconds; the moment is in UTC."""
    # orjson writes a time in a third of what isoformat takes, with microseconds if there are any.
    text = orjson.dumps(moment).decode()
    return text[1:24] + "Z" if moment.microsecond else text[1:20] + ".000Z"
