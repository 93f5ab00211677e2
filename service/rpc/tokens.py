"""Credentials from the token file, which may change while the service runs, and the one token of a trial."""

import math
import secrets
import time
from pathlib import Path

from service.domain.errors import CredentialsInvalid
from service.ops import reloads
from service.rpc import token_file
from service.rpc.auth import SCOPES, Peer, Principal
from service.rpc.certificates import identity
from service.rpc.token_file import TokenFileInvalid, digest
from service.rpc.whole_file import stamp

_LOOK_AGAIN_SECONDS = 1.0


class Tokens:
    """Credentials from a file that is read again when it has changed. A broken one keeps the last good.

    What could not be read is tried again: its cause may go and leave no trace on the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = stamp(path)
        self._looked = -math.inf
        self._principals = _read(path)
        self._failure: tuple[object, str] | None = None
        self._again_at = math.inf

    async def begin(self) -> None:
        """Nothing: the file has been read."""

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
        found = stamp(self._path)
        # Not at each look: unknown tokens cost no reading of a broken file.
        if found == self._seen and self._looked < self._again_at:
            return
        self._seen = found
        try:
            self._principals = _read(self._path)
        except TokenFileInvalid as error:
            self._failed((found, str(error)))
        else:
            self._failure, self._again_at = None, math.inf
            reloads.succeeded("tokens")

    def _failed(self, failure: tuple[object, str]) -> None:
        if failure != self._failure:
            reloads.failed("tokens", failure[1])
        self._failure, self._again_at = failure, self._looked + _LOOK_AGAIN_SECONDS


class OneToken:
    """Credentials of a trial: the token of this data directory, for one account, with all scopes."""

    def __init__(self, token: str, account: str) -> None:
        self._sha256 = digest(token)
        self._principal = Principal("dev", frozenset({account}), frozenset(SCOPES))

    async def begin(self) -> None:
        """Nothing: the token is known."""

    def principal(self, token: str) -> Principal | None:
        return self._principal if secrets.compare_digest(digest(token), self._sha256) else None

    def certified(self, _: Peer) -> None:
        """No certificate is a credential here."""


def dev_token(data_dir: Path) -> str:
    """The token kept in the data directory, made at the first call; raises TokenFileInvalid."""
    path = data_dir / "dev-token"
    with token_file.alone(path):
        if not path.exists():
            token_file.write(path, token_file.new_token().encode())
        token = path.read_text(errors="replace").strip()
    if not token_file.is_token(token):
        raise TokenFileInvalid(f"{path} holds no token of ours; remove it, and a new one is made")
    return token


def _read(path: Path) -> dict[str, Principal]:
    return {entry.key: entry.as_principal() for entry in token_file.read(path)}
