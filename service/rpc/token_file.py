"""The token file: one JSON object a line, with the SHA-256 of each token and never a token itself."""

import hashlib
import logging
import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from service.rpc.auth import ANY_ACCOUNT, SCOPES, Principal, is_account

log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 1.0


class TokenFileInvalid(Exception):
    """The file, or what is to be added to it, breaks a rule; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One token: its id (the first 12 characters of its hash), what it may, when it was made."""

    sha256: str
    account: str
    scopes: tuple[str, ...]
    created_at: str

    @property
    def id(self) -> str:
        return self.sha256[:12]

    @property
    def principal(self) -> Principal:
        return Principal(self.id, self.account, frozenset(self.scopes))


class TokenFile:
    """Credentials from a file that is read again when it has changed. A broken one keeps the last good."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: object = None
        self._looked = float("-inf")
        self._principals: dict[str, Principal] = {}
        self._load(_stamp(path))

    def principal(self, token: str) -> Principal | None:
        sha256 = _digest(token)
        # An unknown token may have been added a moment ago: it is worth a look at the file.
        if sha256 not in self._principals or time.monotonic() - self._looked > _LOOK_AGAIN_SECONDS:
            self._refresh()
        return self._principals.get(sha256)

    def _refresh(self) -> None:
        self._looked = time.monotonic()
        try:
            stamp = _stamp(self._path)
            if stamp != self._seen:
                self._load(stamp)
        except TokenFileInvalid as error:
            log.warning("token file kept as it was", extra={"error": str(error)})

    def _load(self, stamp: object) -> None:
        self._seen = stamp
        self._principals = {entry.sha256: entry.principal for entry in read(self._path)}


class OneToken:
    """Credentials of a trial: the token of this data directory, for one account, with all scopes."""

    def __init__(self, token: str, account: str) -> None:
        self._sha256 = _digest(token)
        self._principal = Principal("dev", account, frozenset(SCOPES))

    def principal(self, token: str) -> Principal | None:
        return self._principal if secrets.compare_digest(_digest(token), self._sha256) else None


def dev_token(data_dir: Path) -> str:
    """The token kept in the data directory, made at the first call; raises TokenFileInvalid."""
    path = data_dir / "dev-token"
    if not path.exists():
        _write(path, new_token().encode())
    return path.read_text().strip()


def new_token() -> str:
    return "cs_" + secrets.token_urlsafe(32)


def add(path: Path, account: str, scopes: tuple[str, ...]) -> str:
    """Appends a new token's hash and returns the token; raises TokenFileInvalid."""
    token = new_token()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = _checked(Entry(_digest(token), account, scopes, now))
    kept = read(path) if path.exists() else []
    _write(path, _lines([*kept, entry]))
    return token


def revoke(path: Path, token_id: str) -> None:
    """Removes a token by its id; raises TokenFileInvalid when there is none."""
    entries = read(path)
    kept = [entry for entry in entries if entry.id != token_id]
    if len(kept) == len(entries):
        raise TokenFileInvalid(f"{path} has no token with the id {token_id}")
    _write(path, _lines(kept))


def read(path: Path) -> list[Entry]:
    """All entries; raises TokenFileInvalid with the line that is wrong."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise TokenFileInvalid(f"cannot read {path}: {error.strerror}") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                entries.append(_entry(orjson.loads(line)))
            except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                raise TokenFileInvalid(f"{path}, line {number}: not a token entry") from error
    return entries


def _entry(fields: dict[str, object]) -> Entry:
    scopes = fields["scopes"]
    if not isinstance(scopes, list):
        raise TypeError
    names = tuple(str(scope) for scope in scopes)
    return _checked(Entry(str(fields["sha256"]), str(fields["account"]), names, str(fields["created_at"])))


def _checked(entry: Entry) -> Entry:
    if entry.account != ANY_ACCOUNT and not is_account(entry.account):
        raise TokenFileInvalid("an account is 1 to 64 of the characters A-Z a-z 0-9 . _ -, or '*' for any")
    unknown = set(entry.scopes) - set(SCOPES)
    if unknown or not entry.scopes:
        raise TokenFileInvalid(f"scopes are some of {','.join(SCOPES)}, separated by commas")
    return entry


def _lines(entries: list[Entry]) -> bytes:
    return b"".join(orjson.dumps(entry) + b"\n" for entry in entries)


def _write(path: Path, content: bytes) -> None:
    # Beside, then renamed: a reader sees the old file or the new one, never half of it.
    beside = path.with_name(path.name + f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        beside.replace(path)
    except OSError as error:
        raise TokenFileInvalid(f"cannot write {path}: {error.strerror}") from error


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        raise TokenFileInvalid(f"cannot read {path}: {error.strerror}") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
