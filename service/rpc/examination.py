"""A look at what the listener needs: settings that go together, certificates, tokens, keys of an issuer."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from service.config import Config
from service.ops import endpoints
from service.ops.endpoints import OpsPortUnusable
from service.ops.findings import Finding, fail, ok, warn
from service.rpc import audit, jwks, listening, signers, token_file
from service.rpc.certificates import CertificatesInvalid, expiry
from service.rpc.listening import CannotServe
from service.rpc.token_file import Entry, TokenFileInvalid

_DAY = 24 * 60 * 60
_CERTIFICATE_DAYS, _TOKEN_DAYS = 30, 7
_SETTINGS = "see `contactservice config show` for what is set, and where"


def settings(config: Config) -> list[Finding]:
    """What stops a start, before anything is asked of the network."""
    sentences = [*_sentences(config)]
    if not sentences:
        return [ok("config", "the settings go together")]
    return [fail("config", sentence, _SETTINGS) for sentence in sentences]


def tls(config: Config, now: float) -> list[Finding]:
    """How long the certificates last; `now` in Unix seconds."""
    files = {"--tls-cert": config.tls_cert, "--tls-client-ca": config.tls_client_ca}
    named = {flag: file for flag, file in files.items() if file}
    if not named:
        return [_without_tls(config)]
    return [_certificate(flag, file, now) for flag, file in named.items()]


async def auth(config: Config, now: float) -> list[Finding]:
    """Whether somebody can call: a token that lives, an issuer whose keys can be had."""
    findings = []
    if config.tokens:
        findings.append(_tokens(config.tokens, now))
    if config.jwt_jwks_url:
        findings.append(await _issuer(config.jwt_jwks_url))
    if not findings:
        sentence = "one token for trials, in the data directory"
        findings.append(warn("auth", sentence, "name who may call with --tokens or --jwt-issuer"))
    return findings


def _sentences(config: Config) -> list[str]:
    try:
        sentences = listening.refusals(config)
    except CannotServe as error:
        sentences = [str(error)]
    checks: list[Callable[[], object]] = []
    if not sentences:
        checks.append(partial(listening.certificates, config))
    if config.token_keys:
        checks.append(partial(signers.keys, config.token_keys))
    if config.audit_file:
        checks.append(partial(audit.check, config.audit_file))
    if config.ops_address:
        checks.append(partial(endpoints.parsed, config.ops_address))
    return sentences + [told for told in map(_told, checks) if told]


def _told(check: Callable[[], object]) -> str | None:
    try:
        check()
    except (CannotServe, OpsPortUnusable) as error:
        return str(error)
    return None


def _without_tls(config: Config) -> Finding:
    if listening.Address.parse(config.address).is_loopback:
        return ok("tls", "none, on loopback")
    return warn("tls", "none, and the address is not loopback", "set --tls-cert and --tls-key")


def _certificate(flag: str, file: Path, now: float) -> Finding:
    try:
        ends = expiry(flag, file)
    except CertificatesInvalid as error:
        return fail("tls", str(error), "write the certificate there, PEM")
    days = (ends - now) / _DAY
    if days <= 0:
        return fail(
            "tls", f"{flag} {file} expired {-days:.0f} days ago", "renew it: it is read again by itself"
        )
    sentence = f"{flag} {file} expires in {days:.0f} days"
    if days < _CERTIFICATE_DAYS:
        return warn("tls", sentence, "renew it: it is read again by itself")
    return ok("tls", sentence)


def _tokens(path: Path, now: float) -> Finding:
    try:
        entries = token_file.read(path)
    except TokenFileInvalid as error:
        return fail(
            "auth",
            f"--tokens: {error}",
            "correct the file, or make a new one with `contactservice token add`",
        )
    ends = [entry.as_principal().expires_at for entry in entries]
    expired = sum(end <= now for end in ends)
    counts = f"--tokens {path}: {len(entries) - expired} of {len(entries)} entries are good"
    if expired == len(entries):
        return fail("auth", f"{counts}, so nobody can call", "add a token with `contactservice token add`")
    ending = [*_ending(entries, now)]
    if expired or ending:
        sentence = counts + (f", {', '.join(ending)} only for another {_TOKEN_DAYS} days" if ending else "")
        return warn(
            "auth", sentence, "replace what ends, and take out what has expired: `contactservice token`"
        )
    return ok("auth", counts)


def _ending(entries: list[Entry], now: float) -> Iterator[str]:
    for entry in entries:
        if now < entry.as_principal().expires_at <= now + _TOKEN_DAYS * _DAY:
            yield entry.id


async def _issuer(url: str) -> Finding:
    began = time.perf_counter()
    try:
        keys = await jwks.fetched(url)
    except jwks.FETCH_ERRORS as error:
        sentence = f"--jwt-jwks-url: the keys cannot be had ({type(error).__name__})"
        return fail("auth", sentence, "see that the issuer answers there, with a JWKS and status 200")
    took = (time.perf_counter() - began) * 1000
    return ok("auth", f"--jwt-jwks-url: {len(keys)} keys in {took:.0f} ms")
