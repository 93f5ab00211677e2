"""The service as it runs behind no proxy: workers with mTLS, and keys of JWTs fetched over TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from aiohttp import web

from service.rpc import token_file
from tests.process import ServiceProcess, eventually
from tests.rpc.calls import bearer, outcome
from tests.rpc.issuer import AUDIENCE, NAME, Issuer
from tests.rpc.pki import Authority, Pair

pytestmark = pytest.mark.timeout(120)


def secure(process: ServiceProcess, trusted: bytes, pair: Pair) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(trusted, pair.key, pair.certificate)
    # A connection of its own, so that the next one may reach another worker.
    options = [("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.secure_channel(process.address, credentials, options)


@asynccontextmanager
async def started(folder: Path, *flags: str) -> AsyncIterator[ServiceProcess]:
    """The service, while whose start this loop goes on: it asks an issuer that answers from here."""
    process = ServiceProcess(folder, *flags)
    await asyncio.to_thread(process.__enter__)
    with ExitStack() as stack:
        stack.push(process)
        yield process


async def test_workers_take_certificates_and_fetch_keys_over_tls(
    tmp_path: Path, mongodb_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker asks for certificates and verifies JWTs; an issuer that is not trusted is no issuer."""
    authority, issuer = Authority(), Issuer()
    cert, key = authority.server().write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    token_file.allow(tmp_path / "tokens.jsonl", "spiffe://example.org/billing", "a", ("read",))
    application = web.Application()
    application.router.add_get("/jwks", issuer.serve)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    flags = [
        *("--mongodb-uri", mongodb_uri, "--database", "tests", "--workers", "2"),
        *("--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(tmp_path / "ca.pem")),
        *("--tokens", str(tmp_path / "tokens.jsonl")),
        *("--jwt-issuer", NAME, "--jwt-audience", AUDIENCE),
        *("--jwt-jwks-url", f"https://127.0.0.1:{runner.addresses[0][1]}/jwks"),
    ]
    billing = authority.client("any", "spiffe://example.org/billing")
    for trusted, expected in ((True, "OK"), (False, "CREDENTIALS_INVALID")):
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        else:
            monkeypatch.delenv("SSL_CERT_FILE")
        async with started(tmp_path / expected, *flags) as process:
            for _ in range(6):
                async with secure(process, authority.certificate, billing) as channel:
                    assert await outcome(channel) == "OK"
                    assert await outcome(channel, bearer(issuer.token())) == expected
            if not trusted:
                eventually(lambda: "could not be read again" in process.log)
                assert issuer.token() not in process.log
    await runner.cleanup()
