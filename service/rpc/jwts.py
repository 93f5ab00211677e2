"""Credentials from JWTs that an issuer signed: verified once, then known by their hash until they expire."""

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.exceptions import PyJWTError

from service.domain.limits import KIB
from service.rpc.auth import ANY_ACCOUNT, SCOPES, KeysWanted, Peer, Principal, is_account
from service.rpc.jwks import Jwks, Key

# Of clocks that are kept by NTP. A stream ends this much after `exp`, and a second.
LEEWAY_SECONDS = 2
_TOKEN_BYTES = 8 * KIB
_NAME_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class Terms:
    """Which tokens are taken, and which claims say what they may."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    account_claim: str
    scopes_claim: str


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    kid: str
    key: Key


class Jwts:
    """Tokens of one issuer, of which the last `verified` different ones are remembered."""

    def __init__(self, terms: Terms, keys: Jwks, verified: int = 10_000) -> None:
        self._terms = terms
        self._keys = keys
        self._most = verified
        self._verified: dict[bytes, _Verified] = {}

    async def begin(self) -> None:
        """Fetches the keys of the issuer."""
        await self._keys.begin()

    def principal(self, token: str) -> Principal | None:
        sha256 = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(sha256)
        if known and self._keys.key(known.kid) is known.key:
            return known.principal if known.principal.expires_at > time.time() else None
        self._verified.pop(sha256, None)
        verified = self._verify(token) if len(token) <= _TOKEN_BYTES else None
        if verified is None:
            return None
        if len(self._verified) >= self._most:
            # The oldest: it is verified again when it comes again.
            del self._verified[next(iter(self._verified))]
        self._verified[sha256] = verified
        return verified.principal

    def certified(self, _: Peer) -> None:
        """No certificate is a credential here."""

    def _verify(self, token: str) -> _Verified | None:
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            if not isinstance(algorithm, str) or algorithm not in self._terms.algorithms or not kid:
                return None
            key = self._key(kid)
            if key is None or algorithm not in key.algorithms:
                return None
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[algorithm],
                audience=self._terms.audience,
                issuer=self._terms.issuer,
                leeway=LEEWAY_SECONDS,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    "enforce_minimum_key_length": True,
                },
            )
        except (PyJWTError, ValueError):
            return None
        return _Verified(self._principal(claims), kid, key)

    def _key(self, kid: str) -> Key | None:
        key = self._keys.key(kid)
        if key is None and (fetched := self._keys.fetched()):
            raise KeysWanted(fetched)
        return key

    def _principal(self, claims: dict[str, Any]) -> Principal:
        accounts = [
            name
            for name in _texts(claims.get(self._terms.account_claim))
            if name == ANY_ACCOUNT or is_account(name)
        ]
        scopes = {scope for text in _texts(claims.get(self._terms.scopes_claim)) for scope in text.split()}
        expires_at = int(claims["exp"]) + LEEWAY_SECONDS
        return Principal(_name(claims["sub"]), frozenset(accounts), frozenset(SCOPES) & scopes, expires_at)


def _texts(claim: object) -> list[str]:
    values = claim if isinstance(claim, list) else [claim]
    return [value for value in values if isinstance(value, str)]


def _name(subject: str) -> str:
    # It stands in log lines.
    return "".join(each if each.isprintable() else "?" for each in subject[:_NAME_CHARACTERS])
