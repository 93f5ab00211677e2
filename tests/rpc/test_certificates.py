"""TLS: what the listener shows, whom it lets in, and what happens when the files change."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from service.ops import reloads
from service.rpc import token_file
from service.rpc.auth import SCOPES
from service.rpc.certificates import Certificates
from service.rpc.server import Server
from tests.client import Client
from tests.people import fill
from tests.rpc.calls import account, bearer, listed, outcome
from tests.rpc.issuer import issuing
from tests.rpc.pki import Authority, Pair
from tests.rpc.refusal import refusal
from tests.rpc.serving import serving

BILLING = "spiffe://example.org/billing"


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> dict[str, Path]:
    """The flags of TLS, and a token file with one token of account `a`."""
    cert, key = authority.server().write(tmp_path, "server")
    return {"tls_cert": cert, "tls_key": key, "tokens": tmp_path / "tokens.jsonl"}


@pytest.fixture
def token(files: dict[str, Path]) -> str:
    return token_file.add(files["tokens"], "a", SCOPES)


@pytest.fixture
def mutual(authority: Authority, files: dict[str, Path], tmp_path: Path, token: str) -> dict[str, Path]:  # noqa: ARG001
    """The flags of mTLS."""
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    return files | {"tls_client_ca": tmp_path / "ca.pem"}


@asynccontextmanager
async def secure(server: Server, trusted: bytes, pair: Pair | None = None) -> AsyncIterator[grpc.aio.Channel]:
    credentials = grpc.ssl_channel_credentials(
        trusted, pair.key if pair else None, pair.certificate if pair else None
    )
    # Without this option channels to one address would share a connection and its certificate.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(str(server.address), credentials, options) as channel:
        yield channel


async def connects(channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> bool:
    """Whether a call gets as far as the service; one over a connection that fails is UNAVAILABLE."""
    answer = await listed(channel, *metadata)
    return answer is None or answer.code != "UNAVAILABLE"


async def test_bearer_tokens_work_over_tls(
    mongodb_uri: str, authority: Authority, files: dict[str, Path], token: str
) -> None:
    """Tokens and JWTs as without TLS; a client that trusts another authority does not connect."""
    async with issuing() as issuer, serving(mongodb_uri, **files, **issuer.flags) as (server, plain):
        async with secure(server, authority.certificate) as channel:
            assert await outcome(channel, bearer(token)) == "OK"
            assert await outcome(channel, bearer(issuer.token())) == "OK"
            assert await outcome(channel) == "CREDENTIALS_MISSING"
        async with secure(server, Authority().certificate) as channel:
            assert not await connects(channel, bearer(token))
        assert not await connects(plain, bearer(token))


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_tls_is_at_least_1_2(
    mongodb_uri: str, files: dict[str, Path], token: str, version: ssl.TLSVersion, accepted: bool
) -> None:
    """An older handshake is refused by the server, whatever the client would take."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])

    def handshake(address: tuple[str, int]) -> str | None:
        with socket.create_connection(address, 10) as raw, context.wrap_socket(raw) as wrapped:
            return wrapped.version()

    async with serving(mongodb_uri, **files) as (server, _):
        address = (server.address.host, server.address.port)
        if accepted:
            assert await asyncio.to_thread(handshake, address) == version.name.replace("_", ".")
        else:
            with pytest.raises(ssl.SSLError, match=r"EOF|PROTOCOL_VERSION"):
                await asyncio.to_thread(handshake, address)
    assert token


async def test_a_certificate_is_a_credential(
    mongodb_uri: str, authority: Authority, mutual: dict[str, Path]
) -> None:
    """By its SPIFFE id or its subject, for the accounts and scopes of its line; a new one is good at once."""
    tokens = mutual["tokens"]
    token_file.allow(tokens, BILLING, ("a", "b"), ("read",))
    async with serving(mongodb_uri, **mutual) as (server, _):
        async with secure(server, authority.certificate, authority.client("any", BILLING)) as channel:
            assert await outcome(channel, account("a")) == "OK"
            assert await outcome(channel, account("b")) == "OK"
            assert await outcome(channel, account("c")) == "ACCOUNT_NOT_ALLOWED"
            assert await outcome(channel) == "ACCOUNT_NOT_ALLOWED"
            failed = await Client(channel, None, "a").failure("CreateContact", contact={"name": "Ann"})
            assert failed.reason == "SCOPE_MISSING"
        async with secure(server, authority.certificate, authority.client("sales")) as channel:
            assert await outcome(channel) == "CREDENTIALS_INVALID"
            token_file.allow(tokens, "CN=sales,O=Example", "c", ("read",))
            assert await outcome(channel) == "OK"
            assert await outcome(channel, account("a")) == "ACCOUNT_NOT_ALLOWED"


async def test_an_identity_in_the_certificate_is_the_only_one(
    mongodb_uri: str, authority: Authority, mutual: dict[str, Path]
) -> None:
    """The subject of a certificate with a SPIFFE id says nothing: whoever signs ids may not check it."""
    token_file.allow(mutual["tokens"], "CN=sales,O=Example", "a", ("read",))
    pair = authority.client("sales", "spiffe://example.org/another")
    async with (
        serving(mongodb_uri, **mutual) as (server, _),
        secure(server, authority.certificate, pair) as channel,
    ):
        assert await outcome(channel) == "CREDENTIALS_INVALID"


async def test_without_a_certificate_of_the_authority_nobody_connects(
    mongodb_uri: str, authority: Authority, mutual: dict[str, Path], token: str
) -> None:
    """No certificate, one of another authority or one that has expired: not even a good token helps."""
    token_file.allow(mutual["tokens"], BILLING, "a", ("read",))
    expired = authority.client("late", BILLING, lives=timedelta(seconds=-60))
    async with serving(mongodb_uri, **mutual) as (server, _):
        for pair in (None, Authority().client("stranger", BILLING), expired):
            async with secure(server, authority.certificate, pair) as channel:
                assert not await connects(channel, bearer(token))
        async with secure(server, authority.certificate, authority.client("good", BILLING)) as channel:
            assert await outcome(channel) == "OK"


async def test_a_token_goes_before_the_certificate(
    mongodb_uri: str, authority: Authority, mutual: dict[str, Path], token: str
) -> None:
    """Who sends one is its principal; a bad one is refused, though the certificate alone would do."""
    token_file.allow(mutual["tokens"], BILLING, "b", ("read",))
    async with (
        serving(mongodb_uri, **mutual) as (server, _),
        secure(server, authority.certificate, authority.client("any", BILLING)) as channel,
    ):
        assert await outcome(channel, bearer(token), account("a")) == "OK"
        assert await outcome(channel, bearer(token), account("b")) == "ACCOUNT_NOT_ALLOWED"
        assert await outcome(channel, bearer("unknown")) == "CREDENTIALS_INVALID"
        assert await outcome(channel) == "OK"


async def test_the_name_of_a_principal_is_no_token(
    mongodb_uri: str, files: dict[str, Path], authority: Authority, token: str
) -> None:
    """Sent as a bearer token it is unknown, with and without a connection that has a certificate."""
    token_file.allow(files["tokens"], BILLING, "a", ("read",))
    async with (
        serving(mongodb_uri, **files) as (server, _),
        secure(server, authority.certificate, authority.client("any", BILLING)) as channel,
    ):
        assert await outcome(channel, bearer(BILLING)) == "CREDENTIALS_INVALID"
        # Without --tls-client-ca nobody has checked it: it is not even asked for.
        assert await outcome(channel) == "CREDENTIALS_MISSING"
        assert await outcome(channel, bearer(token)) == "OK"


@pytest.mark.parametrize("ending", ["expired", "revoked"])
async def test_a_running_export_ends_with_its_certificate(
    mongodb_uri: str, authority: Authority, mutual: dict[str, Path], ending: str
) -> None:
    """Also on a connection that stays: within five seconds after it expired or lost its line."""
    lives = timedelta(seconds=4 if ending == "expired" else 600)
    async with serving(mongodb_uri, **mutual, database="permits") as (server, _):
        await server.store._contacts.delete_many({})
        await fill(server.store, "a", count=6000, size=2000)
        token_file.allow(mutual["tokens"], BILLING, "a", ("export",))
        pair = authority.client("any", BILLING, lives)
        end = x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc
        async with secure(server, authority.certificate, pair) as channel:
            call = Client(channel, None, None).export(timeout=None)
            await anext(aiter(call))
            if ending == "revoked":
                [entry] = [each for each in token_file.read(mutual["tokens"]) if each.principal]
                token_file.revoke(mutual["tokens"], entry.id)
                end = datetime.now(UTC)
            async with asyncio.timeout(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 5):
                while server.export_slots.taken:
                    await asyncio.sleep(0.02)
            assert (await refusal(call)).reason == "CREDENTIALS_INVALID"
            assert await outcome(channel) == "CREDENTIALS_INVALID"


def shown(server: Server) -> int:
    """The serial number of the certificate that the listener shows to a new connection."""
    pem = ssl.get_server_certificate((server.address.host, server.address.port), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def serial(pair: Pair) -> int:
    return x509.load_pem_x509_certificate(pair.certificate).serial_number


async def until_shown(server: Server, number: int) -> None:
    async with asyncio.timeout(10):
        while await asyncio.to_thread(shown, server) != number:
            await asyncio.sleep(0.05)


async def test_a_new_certificate_is_shown_without_a_restart(
    mongodb_uri: str, authority: Authority, files: dict[str, Path], token: str, tmp_path: Path
) -> None:
    """New connections see it, those that are open go on, and its end is known to metrics."""
    renewed = authority.server("renewed")
    async with serving(mongodb_uri, **files) as (server, _):
        async with secure(server, authority.certificate) as channel:
            assert await outcome(channel, bearer(token)) == "OK"
            renewed.write(tmp_path, "server")
            await until_shown(server, serial(renewed))
            assert await outcome(channel, bearer(token)) == "OK"
        async with secure(server, authority.certificate) as channel:
            assert await outcome(channel, bearer(token)) == "OK"
        assert server.certificates
        end = x509.load_pem_x509_certificate(renewed.certificate).not_valid_after_utc
        assert server.certificates.expires_at == end.timestamp()


async def test_a_new_client_authority_is_trusted_without_a_restart(
    mongodb_uri: str, authority: Authority, mutual: dict[str, Path]
) -> None:
    """And the one that it replaces is not any more."""
    token_file.allow(mutual["tokens"], BILLING, "a", ("read",))
    another = Authority()
    async with serving(mongodb_uri, **mutual) as (server, _):
        async with secure(server, authority.certificate, another.client("any", BILLING)) as channel:
            assert not await connects(channel)
        mutual["tls_client_ca"].write_bytes(another.certificate)
        async with asyncio.timeout(10):
            while True:
                async with secure(server, authority.certificate, another.client("any", BILLING)) as channel:
                    if await connects(channel):
                        break
        async with secure(server, authority.certificate, authority.client("any", BILLING)) as channel:
            assert not await connects(channel)


def broken(pair: Pair, files: dict[str, Path], how: str) -> None:
    if how == "a key of another":
        files["tls_key"].write_bytes(Authority().server().key)
    elif how == "no PEM":
        files["tls_cert"].write_bytes(pair.certificate[:50])
    else:
        files["tls_cert"].unlink()


@pytest.mark.parametrize("how", ["a key of another", "no PEM", "missing"])
async def test_a_broken_pair_keeps_the_last_good_one(
    mongodb_uri: str, authority: Authority, files: dict[str, Path], token: str, tmp_path: Path, how: str
) -> None:
    """It is counted once, however often it is looked at, and the next good one is taken."""
    before = x509.load_pem_x509_certificate(files["tls_cert"].read_bytes()).serial_number
    async with serving(mongodb_uri, **files) as (server, _):
        failures = reloads.failures["certificates"]
        broken(authority.server(), files, how)
        async with asyncio.timeout(10):
            while reloads.failures["certificates"] == failures:
                await asyncio.sleep(0.02)
        assert server.certificates
        for _ in range(3):
            server.certificates.look()
        assert reloads.failures["certificates"] == failures + 1
        assert await asyncio.to_thread(shown, server) == before
        async with secure(server, authority.certificate) as channel:
            assert await outcome(channel, bearer(token)) == "OK"
        renewed = authority.server("renewed")
        renewed.write(tmp_path, "server")
        await until_shown(server, serial(renewed))


def test_the_moment_between_two_files_is_no_failure(authority: Authority, tmp_path: Path) -> None:
    """Certificate and key are written one after the other: they are read when they have come to rest."""
    cert, key = authority.server().write(tmp_path, "server")
    certificates = Certificates(cert, key, None)
    renewed = authority.server("renewed")
    failures = reloads.failures["certificates"]
    cert.write_bytes(renewed.certificate)
    certificates.look()
    key.write_bytes(renewed.key)
    for _ in range(2):
        certificates.look()
    assert reloads.failures["certificates"] == failures
    assert certificates._changed() is certificates._set.configuration
    assert certificates._changed() is None
