from array import array
from collections.abc import Callable
from datetime import datetime

from service.domain.contact import Contact, Draft, Metadata
from service.ops.lines import Line

def console_line(line: Line, allowed: frozenset[str], pid: int | None, /) -> str | None: ...
def document(account: str, contact: Contact, /) -> bytes | None: ...
def identity(document: bytes, /) -> tuple[str, str, bool] | None: ...
def json_line(line: Line, allowed: frozenset[str], pid: int | None, /) -> str | None: ...
def new_contact(
    request: bytes, /
) -> tuple[tuple[str, str, str, str, str, str, str, Metadata | None, datetime | None], str] | None: ...
def newborn(
    account: str, contact_id: str, draft: Draft, fingerprint: str, trusted: bool, /
) -> bytes | None: ...
def starts(cursor: bytes, /) -> bytes: ...
def transcode(
    name: str,
    separator: bytes,
    documents: bytes,
    starts: array[int],
    first: int,
    most_bytes: int,
    most_records: int,
    slow: Callable[[bytes], tuple[bytes, str]],
    /,
) -> tuple[bytes, int, str]: ...
