"""The token file: one JSON object a line, with the SHA-256 of each token and never a token itself.

A line may name a certificate instead: `principal`, by its SPIFFE id or its subject.
"""

import hashlib
import math
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from service.rpc import whole_file
from service.rpc.auth import ANY_ACCOUNT, SCOPES, Principal, is_account

_MEMBERS = frozenset({"sha256", "principal", "account", "scopes", "created_at", "expires_at"})
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"cs_[A-Za-z0-9_-]{43}")
_SPAN = re.compile(r"([1-9][0-9]{0,4})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


class TokenFileInvalid(Exception):
    """The file, or what is to be added to it, breaks a rule; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A token by its hash, or a certificate by its principal: for which accounts, what it may, how long."""

    accounts: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str | None = None
    sha256: str | None = None
    principal: str | None = None

    @property
    def id(self) -> str:
        """12 characters by which people name it."""
        return (self.sha256 or digest(f"principal {self.principal}"))[:12]

    @property
    def key(self) -> str:
        """What is looked up: the hash or the name of the principal, which is never one."""
        return self.sha256 or self.principal or ""

    def as_principal(self) -> Principal:
        expires = moment(self.expires_at).timestamp() if self.expires_at else math.inf
        name = self.principal or self.id
        return Principal(name, frozenset(self.accounts), frozenset(self.scopes), expires)

    def line(self) -> bytes:
        fields = {
            "sha256": self.sha256,
            "principal": self.principal,
            "account": self.accounts[0] if len(self.accounts) == 1 else self.accounts,
            "scopes": self.scopes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
        }
        return orjson.dumps({name: value for name, value in fields.items() if value is not None}) + b"\n"


def new_token() -> str:
    return "cs_" + secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Whether it looks as those that are made here, and so cannot be guessed."""
    return _TOKEN.fullmatch(text) is not None


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def add(
    path: Path, account: str | Sequence[str], scopes: Sequence[str], expires_at: datetime | None = None
) -> str:
    """Appends a new token's hash and returns the token; raises TokenFileInvalid."""
    token = new_token()
    _append(path, _made(account, scopes, expires_at, sha256=digest(token)))
    return token


def allow(
    path: Path,
    principal: str,
    account: str | Sequence[str],
    scopes: Sequence[str],
    expires_at: datetime | None = None,
) -> None:
    """Appends a line for the certificates of a principal; raises TokenFileInvalid."""
    _append(path, _made(account, scopes, expires_at, principal=principal))


def revoke(path: Path, entry_id: str) -> None:
    """Removes an entry by its id; raises TokenFileInvalid when there is none."""
    with _told(path), whole_file.alone(path.parent):
        entries = read(path)
        kept = [entry for entry in entries if entry.id != entry_id]
        if len(kept) == len(entries):
            raise TokenFileInvalid(f"{path} has no entry with the id {entry_id}")
        write(path, _lines(kept))


def read(path: Path) -> list[Entry]:
    """All entries; raises TokenFileInvalid with the line that is wrong."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise TokenFileInvalid(f"cannot read {path}: {error.strerror}") from error
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                entry = _entry(orjson.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise TokenFileInvalid(f"{path}, line {number}: not a token entry") from error
            except TokenFileInvalid as error:
                raise TokenFileInvalid(f"{path}, line {number}: {error}") from error
            if entry.key in entries:
                raise TokenFileInvalid(f"{path}, line {number}: as in a line before")
            entries[entry.key] = entry
    return list(entries.values())


def moment(text: str) -> datetime:
    """An RFC 3339 time; raises ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(text)
    return found


def expiry(text: str, now: datetime) -> datetime:
    """What `--expires` says: a span such as 90d, 12h, 30m, or an RFC 3339 time; raises TokenFileInvalid."""
    if span := _SPAN.fullmatch(text):
        return now + timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        end = moment(text)
    except ValueError as error:
        raise TokenFileInvalid("--expires takes 90d, 12h, 30m or a time (2030-01-31T00:00:00Z)") from error
    if end <= now:
        raise TokenFileInvalid("--expires is in the past")
    return end


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Makes the folder where it is missing, and keeps others from changing the file meanwhile.

    Raises TokenFileInvalid, also for an OSError of the block.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file.alone(path.parent):
            yield


def write(path: Path, content: bytes) -> None:
    """Replaces the file as a whole; raises TokenFileInvalid."""
    with _told(path):
        whole_file.replace(path, content)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TokenFileInvalid(f"cannot read or write {path}: {error.strerror}") from error


def _append(path: Path, entry: Entry) -> None:
    with alone(path):
        kept = read(path) if path.exists() else []
        if entry.key in {other.key for other in kept}:
            raise TokenFileInvalid(f"{path} has an entry of this principal; revoke it first")
        write(path, _lines([*kept, entry]))


def _made(
    account: str | Sequence[str], scopes: Sequence[str], expires_at: datetime | None, **key: str
) -> Entry:
    return _checked(
        Entry(
            accounts=(account,) if isinstance(account, str) else tuple(account),
            scopes=tuple(scopes),
            created_at=_text(datetime.now(UTC)),
            expires_at=_text(expires_at) if expires_at else None,
            **key,
        )
    )


def _entry(fields: dict[str, Any]) -> Entry:
    for name in sorted(fields.keys() - _MEMBERS):
        raise TokenFileInvalid(f"an entry has no member {name!a:.64}")
    account = fields["account"]
    accounts = [account] if isinstance(account, str) else account
    expires_at = fields.get("expires_at")
    if expires_at is not None:
        moment(expires_at)
    return _checked(
        Entry(
            accounts=_texts(accounts),
            scopes=_texts(fields["scopes"]),
            created_at=str(fields["created_at"]),
            expires_at=expires_at,
            sha256=fields.get("sha256"),
            principal=fields.get("principal"),
        )
    )


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError
    return tuple(values)


def _checked(entry: Entry) -> Entry:
    if not entry.accounts or not all(name == ANY_ACCOUNT or is_account(name) for name in entry.accounts):
        raise TokenFileInvalid("an account is 1 to 64 of the characters A-Z a-z 0-9 . _ -, or '*' for any")
    if not entry.scopes or not set(entry.scopes) <= set(SCOPES):
        raise TokenFileInvalid(f"scopes are some of {','.join(SCOPES)}, separated by commas")
    if (entry.sha256 is None) is (entry.principal is None):
        raise TokenFileInvalid("an entry has either sha256 or principal")
    if entry.sha256 is not None and not _SHA256.fullmatch(entry.sha256):
        raise TokenFileInvalid("sha256 is 64 hex digits")
    if entry.principal is not None and "://" not in entry.principal and "=" not in entry.principal:
        raise TokenFileInvalid("a principal is a SPIFFE id (spiffe://...) or a subject (CN=...)")
    return entry


def _lines(entries: list[Entry]) -> bytes:
    return b"".join(entry.line() for entry in entries)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")
