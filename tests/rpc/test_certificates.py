"""TLS: which versions, whom the listener lets in, and what a certificate may."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from service.rpc import token_file
from tests.client import Client
from tests.people import fill
from tests.rpc.calls import account, bearer, outcome
from tests.rpc.issuer import issuing
from tests.rpc.pki import Authority
from tests.rpc.refusal import refusal
from tests.rpc.serving import serving
from tests.rpc.tls import connects, secure

BILLING = "spiffe://example.org/billing"


async def test_bearer_tokens_work_over_tls(
    mongodb_uri: str, authority: Authority, tls: dict[str, Path], tls_token: str
) -> None:
    """Tokens and JWTs as without TLS; a client that trusts another authority does not connect."""
    async with issuing() as issuer, serving(mongodb_uri, **tls, **issuer.flags) as (server, plain):
        async with secure(server, authority.certificate) as channel:
            assert await outcome(channel, bearer(tls_token)) == "OK"
            assert await outcome(channel, bearer(issuer.token())) == "OK"
            assert await outcome(channel) == "CREDENTIALS_MISSING"
        async with secure(server, Authority().certificate) as channel:
            assert not await connects(channel, bearer(tls_token))
        assert not await connects(plain, bearer(tls_token))


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
    mongodb_uri: str, tls: dict[str, Path], tls_token: str, version: ssl.TLSVersion, accepted: bool
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

    async with serving(mongodb_uri, **tls) as (server, _):
        address = (server.address.host, server.address.port)
        if accepted:
            assert await asyncio.to_thread(handshake, address) == version.name.replace("_", ".")
        else:
            with pytest.raises(ssl.SSLError, match=r"EOF|PROTOCOL_VERSION"):
                await asyncio.to_thread(handshake, address)
    assert tls_token


async def test_a_certificate_is_a_credential(
    mongodb_uri: str, authority: Authority, mutual_tls: dict[str, Path]
) -> None:
    """By its SPIFFE id or its subject, for the accounts and scopes of its line; a new one is good at once."""
    tokens = mutual_tls["tokens"]
    token_file.allow(tokens, BILLING, ("a", "b"), ("read",))
    async with serving(mongodb_uri, **mutual_tls) as (server, _):
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
    mongodb_uri: str, authority: Authority, mutual_tls: dict[str, Path]
) -> None:
    """The subject of a certificate with a SPIFFE id says nothing: whoever signs ids may not check it."""
    token_file.allow(mutual_tls["tokens"], "CN=sales,O=Example", "a", ("read",))
    pair = authority.client("sales", "spiffe://example.org/another")
    async with (
        serving(mongodb_uri, **mutual_tls) as (server, _),
        secure(server, authority.certificate, pair) as channel,
    ):
        assert await outcome(channel) == "CREDENTIALS_INVALID"


async def test_without_a_certificate_of_the_authority_nobody_connects(
    mongodb_uri: str, authority: Authority, mutual_tls: dict[str, Path], tls_token: str
) -> None:
    """No certificate, one of another authority or one that has expired: not even a good token helps."""
    token_file.allow(mutual_tls["tokens"], BILLING, "a", ("read",))
    expired = authority.client("late", BILLING, lives=timedelta(seconds=-60))
    async with serving(mongodb_uri, **mutual_tls) as (server, _):
        for pair in (None, Authority().client("stranger", BILLING), expired):
            async with secure(server, authority.certificate, pair) as channel:
                assert not await connects(channel, bearer(tls_token))
        async with secure(server, authority.certificate, authority.client("good", BILLING)) as channel:
            assert await outcome(channel) == "OK"


async def test_a_token_goes_before_the_certificate(
    mongodb_uri: str, authority: Authority, mutual_tls: dict[str, Path], tls_token: str
) -> None:
    """Who sends one is its principal; a bad one is refused, though the certificate alone would do."""
    token_file.allow(mutual_tls["tokens"], BILLING, "b", ("read",))
    async with (
        serving(mongodb_uri, **mutual_tls) as (server, _),
        secure(server, authority.certificate, authority.client("any", BILLING)) as channel,
    ):
        assert await outcome(channel, bearer(tls_token), account("a")) == "OK"
        assert await outcome(channel, bearer(tls_token), account("b")) == "ACCOUNT_NOT_ALLOWED"
        assert await outcome(channel, bearer("unknown")) == "CREDENTIALS_INVALID"
        assert await outcome(channel) == "OK"


async def test_the_name_of_a_principal_is_no_token(
    mongodb_uri: str, tls: dict[str, Path], authority: Authority, tls_token: str
) -> None:
    """Sent as a bearer token it is unknown, with and without a connection that has a certificate."""
    token_file.allow(tls["tokens"], BILLING, "a", ("read",))
    async with (
        serving(mongodb_uri, **tls) as (server, _),
        secure(server, authority.certificate, authority.client("any", BILLING)) as channel,
    ):
        assert await outcome(channel, bearer(BILLING)) == "CREDENTIALS_INVALID"
        # Without --tls-client-ca nobody has checked it: it is not even asked for.
        assert await outcome(channel) == "CREDENTIALS_MISSING"
        assert await outcome(channel, bearer(tls_token)) == "OK"


@pytest.mark.parametrize("ending", ["expired", "revoked"])
async def test_a_running_export_ends_with_its_certificate(
    mongodb_uri: str, authority: Authority, mutual_tls: dict[str, Path], ending: str
) -> None:
    """Also on a connection that stays: within five seconds after it expired or lost its line."""
    lives = timedelta(seconds=4 if ending == "expired" else 600)
    async with serving(mongodb_uri, **mutual_tls, database="permits") as (server, _):
        await server.store._contacts.delete_many({})
        await fill(server.store, "a", count=6000, size=2000)
        token_file.allow(mutual_tls["tokens"], BILLING, "a", ("export",))
        pair = authority.client("any", BILLING, lives)
        end = x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc
        async with secure(server, authority.certificate, pair) as channel:
            call = Client(channel, None, None).export(timeout=None)
            await anext(aiter(call))
            if ending == "revoked":
                [entry] = [each for each in token_file.read(mutual_tls["tokens"]) if each.principal]
                token_file.revoke(mutual_tls["tokens"], entry.id)
                end = datetime.now(UTC)
            async with asyncio.timeout(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 5):
                while server.export_slots.taken:
                    await asyncio.sleep(0.02)
            assert (await refusal(call)).reason == "CREDENTIALS_INVALID"
            assert await outcome(channel) == "CREDENTIALS_INVALID"
