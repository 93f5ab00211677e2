"""Certificates that are renewed, or broken, while the service runs."""

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from service.ops import reloads
from service.rpc import token_file
from service.rpc.certificates import Certificates
from service.rpc.server import Server
from tests.rpc.calls import bearer, outcome
from tests.rpc.pki import Authority, Pair
from tests.rpc.serving import serving
from tests.rpc.tls import connects, secure

BILLING = "spiffe://example.org/billing"


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
    mongodb_uri: str, authority: Authority, tls: dict[str, Path], tls_token: str, tmp_path: Path
) -> None:
    """New connections see it, those that are open go on, and its end is known to metrics."""
    renewed = authority.server("renewed")
    async with serving(mongodb_uri, **tls) as (server, _):
        async with secure(server, authority.certificate) as channel:
            assert await outcome(channel, bearer(tls_token)) == "OK"
            renewed.write(tmp_path, "server")
            await until_shown(server, serial(renewed))
            assert await outcome(channel, bearer(tls_token)) == "OK"
        async with secure(server, authority.certificate) as channel:
            assert await outcome(channel, bearer(tls_token)) == "OK"
        assert server.certificates
        end = x509.load_pem_x509_certificate(renewed.certificate).not_valid_after_utc
        assert server.certificates.expires_at == end.timestamp()


async def test_a_new_client_authority_is_trusted_without_a_restart(
    mongodb_uri: str, authority: Authority, mutual_tls: dict[str, Path]
) -> None:
    """And the one that it replaces is not any more."""
    token_file.allow(mutual_tls["tokens"], BILLING, "a", ("read",))
    another = Authority()
    async with serving(mongodb_uri, **mutual_tls) as (server, _):
        async with secure(server, authority.certificate, another.client("any", BILLING)) as channel:
            assert not await connects(channel)
        mutual_tls["tls_client_ca"].write_bytes(another.certificate)
        async with asyncio.timeout(10):
            while True:
                async with secure(server, authority.certificate, another.client("any", BILLING)) as channel:
                    if await connects(channel):
                        break
        async with secure(server, authority.certificate, authority.client("any", BILLING)) as channel:
            assert not await connects(channel)


def broken(pair: Pair, tls: dict[str, Path], how: str) -> None:
    if how == "a key of another":
        tls["tls_key"].write_bytes(Authority().server().key)
    elif how == "no PEM":
        tls["tls_cert"].write_bytes(pair.certificate[:50])
    else:
        tls["tls_cert"].unlink()


@pytest.mark.parametrize("how", ["a key of another", "no PEM", "missing"])
async def test_a_broken_pair_keeps_the_last_good_one(
    mongodb_uri: str, authority: Authority, tls: dict[str, Path], tls_token: str, tmp_path: Path, how: str
) -> None:
    """It is counted once, however often it is looked at, and the next good one is taken."""
    before = x509.load_pem_x509_certificate(tls["tls_cert"].read_bytes()).serial_number
    async with serving(mongodb_uri, **tls) as (server, _):
        failures = reloads.failures["certificates"]
        broken(authority.server(), tls, how)
        async with asyncio.timeout(10):
            while reloads.failures["certificates"] == failures:
                await asyncio.sleep(0.02)
        assert server.certificates
        for _ in range(3):
            server.certificates.look()
        assert reloads.failures["certificates"] == failures + 1
        assert reloads.failing["certificates"]
        assert await asyncio.to_thread(shown, server) == before
        async with secure(server, authority.certificate) as channel:
            assert await outcome(channel, bearer(tls_token)) == "OK"
        renewed = authority.server("renewed")
        renewed.write(tmp_path, "server")
        await until_shown(server, serial(renewed))
        assert not reloads.failing["certificates"]


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
