"""The public keys of an issuer of JWTs (JWKS): fetched when one is wanted, kept while the issuer is away."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from service.domain.limits import KIB
from service.ops import reloads

log = logging.getLogger(__name__)

FETCH_PAUSE_SECONDS = 5.0
_REFRESH_SECONDS = 300.0
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_BYTES = 256 * KIB
_WAITING = 100

_FAMILIES: Mapping[tuple[str, str | None], frozenset[str]] = {
    ("RSA", None): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
# Public keys only: with a shared secret, whoever can verify a token could make one.
ALGORITHMS = frozenset().union(*_FAMILIES.values())


@dataclass(frozen=True, slots=True)
class Key:
    """A public key and the algorithms that it may verify."""

    public: Any
    algorithms: frozenset[str]


class JwksInvalid(Exception):
    """What the issuer sent holds no key that can be used."""


FETCH_ERRORS = (aiohttp.ClientError, TimeoutError, OSError, JwksInvalid)


class Jwks:
    """The keys under one URL. An unknown one is asked for, but however many are, only every few seconds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, Key] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._ended = float("-inf")
        self._waiting = 0
        self._away = False

    async def begin(self) -> None:
        """Fetches the keys for the first time; returns as well when the issuer is away."""
        self._fetch()
        await self._wait()

    def key(self, kid: str) -> Key | None:
        if time.monotonic() - self._ended > _REFRESH_SECONDS:
            # What the issuer withdrew is to go, too. Nobody waits for it.
            self._fetch()
        return self._keys.get(kid)

    def fetched(self) -> Callable[[], Awaitable[None]] | None:
        """What to wait for before an unknown key is asked for again; None when it would be of no use."""
        if self._waiting >= _WAITING or not self._fetch():
            return None
        return self._wait

    def _fetch(self) -> bool:
        # One at a time, and a pause after it: unknown keys cost an attacker nothing.
        if self._fetching is None:
            if time.monotonic() - self._ended < FETCH_PAUSE_SECONDS:
                return False
            self._fetching = asyncio.create_task(self._replace_keys())
        return True

    async def _wait(self) -> None:
        if self._fetching:
            self._waiting += 1
            try:
                await asyncio.shield(self._fetching)
            finally:
                self._waiting -= 1

    async def _replace_keys(self) -> None:
        try:
            self._keys = _kept(self._keys, await fetched(self._url))
        except FETCH_ERRORS as error:
            self._failed(error)
        else:
            reloads.succeeded("jwks")
            if self._away:
                log.info("the keys of the issuer of JWTs are read again")
            self._away = False
        finally:
            self._ended = time.monotonic()
            self._fetching = None

    def _failed(self, error: Exception) -> None:
        reloads.failed("jwks", str(error) or type(error).__name__, is_known=self._away)
        self._away = True


async def fetched(url: str) -> dict[str, Key]:
    """The keys under the URL; raises one of FETCH_ERRORS."""
    return parsed(await _body(url))


def parsed(body: bytes) -> dict[str, Key]:
    """The keys of a JWKS that can verify signatures, by their ids; raises JwksInvalid when there are none."""
    try:
        found = orjson.loads(body)["keys"]
        keys = {each["kid"]: key for each in found if (key := _key(each))}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise JwksInvalid("the answer is no JWKS") from error
    if not keys:
        raise JwksInvalid("the JWKS has no public key with a kid that can be used")
    return keys


def _key(jwk: dict[str, Any]) -> Key | None:
    family = _FAMILIES.get((jwk.get("kty", ""), jwk.get("crv")))
    if family is None or not isinstance(jwk.get("kid"), str) or jwk.get("use", "sig") != "sig":
        return None
    algorithms = family & {jwk["alg"]} if "alg" in jwk else family
    try:
        # The private part of a key that was published by mistake is not wanted.
        public = PyJWK({name: value for name, value in jwk.items() if name != "d"}, min(family)).key
    except PyJWTError:
        return None
    return Key(public, algorithms) if algorithms else None


def _kept(known: Mapping[str, Key], found: Mapping[str, Key]) -> dict[str, Key]:
    # A key that has not changed stays the same object: tokens that it verified need not be looked at again.
    return {kid: known[kid] if kid in known and known[kid] == key else key for kid, key in found.items()}


async def _body(url: str) -> bytes:
    if url.startswith("file:"):
        return await asyncio.to_thread(Path(urlsplit(url).path).read_bytes)
    # A redirect could lead away from TLS.
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise JwksInvalid(f"the issuer answered with status {response.status}")
        body = b""
        async for part in response.content.iter_any():
            body += part
            if len(body) > _BYTES:
                raise JwksInvalid(f"the JWKS has more than {_BYTES // KIB} KiB")
        return body
