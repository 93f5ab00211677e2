"""Where the service listens, and whom it lets in there: what is unsafe or incomplete does not start.

Each refusal is one sentence that names the flag.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from service.config import Config
from service.rpc import auth, tokens
from service.rpc.certificates import Certificates, CertificatesInvalid
from service.rpc.jwks import ALGORITHMS, Jwks
from service.rpc.jwts import Jwts, Terms
from service.rpc.token_file import TokenFileInvalid
from service.rpc.tokens import OneToken, Tokens

DEV_ACCOUNT = "demo"


class CannotServe(Exception):
    """The service cannot start; one sentence with the way out."""


@dataclass(frozen=True, slots=True)
class Address:
    """host:port as given by --address."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise CannotServe(f"--address {text}: expected host:port")
        return cls(host.strip("[]") or "127.0.0.1", int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(self.host)


class Both:
    """Credentials from a token file and from JWTs: only these have two dots."""

    def __init__(self, file: Tokens, jwts: Jwts) -> None:
        self._file = file
        self._jwts = jwts

    async def begin(self) -> None:
        await self._jwts.begin()

    def principal(self, token: str) -> auth.Principal | None:
        source: Jwts | Tokens = self._jwts if token.count(".") == 2 else self._file
        return source.principal(token)

    def certified(self, peer: auth.Peer) -> auth.Principal | None:
        return self._file.certified(peer)


def credentials(config: Config) -> auth.Credentials:
    """From token file and issuer, or else the dev token; raises CannotServe, also for an unsafe address."""
    for sentence in refusals(config):
        raise CannotServe(sentence)
    jwts = _jwts(config) if config.jwt_issuer else None
    try:
        file = Tokens(config.tokens) if config.tokens else None
        if jwts and file:
            return Both(file, jwts)
        return jwts or file or OneToken(tokens.dev_token(config.data_dir), DEV_ACCOUNT)
    except TokenFileInvalid as error:
        raise CannotServe(f"{'--tokens' if config.tokens else '--data-dir'}: {error}") from error


def certificates(config: Config) -> Certificates | None:
    """What TLS needs; None without it. Raises CannotServe."""
    if not config.tls_cert or not config.tls_key:
        return None
    try:
        return Certificates(config.tls_cert, config.tls_key, config.tls_client_ca)
    except CertificatesInvalid as error:
        raise CannotServe(str(error)) from error


def refusals(config: Config) -> list[str]:
    """Why a service with these settings does not start: what is incomplete, and what is unsafe."""
    return [*_incomplete(config), *_unsafe(config), *_unusable_jwts(config)]


def _incomplete(config: Config) -> Iterator[str]:
    if config.tls_cert and not config.tls_key:
        yield "--tls-cert needs --tls-key"
    if config.tls_key and not config.tls_cert:
        yield "--tls-key needs --tls-cert"
    if config.tls_client_ca and not config.tls_cert:
        yield "--tls-client-ca needs --tls-cert and --tls-key"
    flags = {
        "--jwt-issuer": config.jwt_issuer,
        "--jwt-audience": config.jwt_audience,
        "--jwt-jwks-url": config.jwt_jwks_url,
    }
    missing = [flag for flag, value in flags.items() if not value]
    if len(missing) < len(flags):
        for flag in missing:
            yield f"{flag} is missing: JWTs need {', '.join(flags)}"


def _unsafe(config: Config) -> Iterator[str]:
    address = Address.parse(config.address)
    if address.is_loopback:
        return
    if not config.tls_cert and not config.insecure_bind:
        yield (
            f"{address} is not loopback; serve TLS there with --tls-cert and --tls-key,"
            " or without it by --insecure-bind"
        )
    if not config.tokens and not config.jwt_issuer:
        yield f"{address} is not loopback; name who may call with --tokens or --jwt-issuer"


def _unusable_jwts(config: Config) -> Iterator[str]:
    if not config.jwt_issuer:
        return
    if not _algorithms(config) or not _algorithms(config) <= ALGORITHMS:
        yield f"--jwt-algorithms: expected some of {','.join(sorted(ALGORITHMS))}"
    if config.jwt_jwks_url and not _may_name_keys(config.jwt_jwks_url):
        yield "--jwt-jwks-url: expected https://, http:// on loopback, or file:// with a path"


def _jwts(config: Config) -> Jwts:
    terms = Terms(
        issuer=config.jwt_issuer or "",
        audience=config.jwt_audience or "",
        algorithms=_algorithms(config),
        account_claim=config.jwt_account_claim,
        scopes_claim=config.jwt_scopes_claim,
    )
    return Jwts(terms, Jwks(config.jwt_jwks_url or ""))


def _algorithms(config: Config) -> frozenset[str]:
    return frozenset(config.jwt_algorithms.replace(",", " ").split())


def _may_name_keys(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    if parts.scheme == "file":
        return not host and Path(parts.path).is_file()
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
