"""Credentials from the token file, which may change while the service runs, and the one token of a trial."""

import secrets
import time
from pathlib import Path

from service.domain.errors import CredentialsInvalid
from service.ops import reloads
from service.rpc import token_file
from service.rpc.auth import SCOPES, Peer, Principal
from service.rpc.certificates import identity
from service.rpc.token_file import TokenFileInvalid, digest

_LOOK_AGAIN_SECONDS = 1.0


class Tokens:
    """Credentials from a file that is read again when it has changed. A broken one keeps the last good."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _stamp(path)
        self._looked = float("-inf")
        self._principals = _read(path)

    def principal(self, token: str) -> Principal | None:
        found = self._known(digest(token))
        return found if found and found.expires_at > time.time() else None

    def certified(self, peer: Peer) -> Principal | None:
        named = identity(peer)
        if named is None:
            return None
        found = self._known(named.name)
        if found is None or min(found.expires_at, named.expires_at) <= time.time():
            raise CredentialsInvalid
        return found

    def _known(self, key: str) -> Principal | None:
        # An unknown one may have been added a moment ago: it is worth a look at the file.
        if key not in self._principals or time.monotonic() - self._looked > _LOOK_AGAIN_SECONDS:
            self._refresh()
        return self._principals.get(key)

    def _refresh(self) -> None:
        self._looked = time.monotonic()
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._principals = _read(self._path)
        except TokenFileInvalid as error:
            reloads.failed("tokens", str(error))
        else:
            reloads.succeeded("tokens")


class OneToken:
    """Credentials of a trial: the token of this data directory, for one account, with all scopes."""

    def __init__(self, token: str, account: str) -> None:
        self._sha256 = digest(token)
        self._principal = Principal("dev", frozenset({account}), frozenset(SCOPES))

    def principal(self, token: str) -> Principal | None:
        return self._principal if secrets.compare_digest(digest(token), self._sha256) else None

    def certified(self, _: Peer) -> None:
        """No certificate is a credential here."""


def dev_token(data_dir: Path) -> str:
    """The token kept in the data directory, made at the first call; raises TokenFileInvalid."""
    path = data_dir / "dev-token"
    if not path.exists():
        token_file.write(path, token_file.new_token().encode())
    return path.read_text().strip()


def _read(path: Path) -> dict[str, Principal]:
    return {entry.key: entry.as_principal() for entry in token_file.read(path)}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
