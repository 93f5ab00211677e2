"""`contactservice health`, as a container's health check runs it."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from service import config as configuration
from service.__main__ import main
from service.rpc.health_check import Unhealthy, check
from service.rpc.server import Server
from tests.rpc.pki import Authority
from tests.rpc.serving import NOBODY_LISTENS, serving


async def ask(server: Server, asked: str, **flags: Any) -> None:
    config = configuration.load({"address": str(server.address), **flags})
    await asyncio.to_thread(check, config, asked, 20.0)


@pytest.mark.parametrize("asked", ["liveness", "readiness"])
async def test_a_server_that_serves_is_healthy(server: Server, asked: str) -> None:
    """Nothing is raised, whichever service is asked for."""
    await ask(server, asked)


async def test_a_server_without_its_database_lives_and_is_not_ready(tmp_path: Path) -> None:
    """Liveness does not follow the database, readiness does, and the sentence says so."""
    async with serving(NOBODY_LISTENS, store_timeout=0.2, data_dir=tmp_path) as (server, _):
        await ask(server, "liveness")
        with pytest.raises(Unhealthy, match="answers NOT_SERVING when asked for its readiness"):
            await ask(server, "readiness")


async def test_an_address_that_binds_all_is_asked_on_loopback(mongodb_uri: str, tmp_path: Path) -> None:
    """0.0.0.0 is no place to connect to; the server behind it is reached all the same."""
    async with serving(mongodb_uri, data_dir=tmp_path) as (server, _):
        port = server.address.port
        config = configuration.load({"address": f"0.0.0.0:{port}"})
        await asyncio.to_thread(check, config, "readiness", 20.0)


@pytest.mark.parametrize("asks_clients", [False, True], ids=["TLS", "mTLS"])
async def test_a_server_with_tls_is_asked_by_its_own_certificate(
    mongodb_uri: str, tmp_path: Path, asks_clients: bool
) -> None:
    """Its certificate is trusted, and shown where clients need one; plain text gets nothing."""
    authority = Authority()
    cert, key = authority.server().write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    flags = {"tls_cert": cert, "tls_key": key}
    client_ca = {"tls_client_ca": tmp_path / "ca.pem"} if asks_clients else {}
    async with serving(mongodb_uri, data_dir=tmp_path, **flags, **client_ca) as (server, _):
        await ask(server, "readiness", **flags)
        with pytest.raises(Unhealthy, match="does not answer"):
            await ask(server, "readiness")


async def test_another_certificate_than_the_servers_is_not_trusted(mongodb_uri: str, tmp_path: Path) -> None:
    """Whoever took the port and shows a certificate of another authority is not healthy."""
    cert, key = Authority().server().write(tmp_path, "server")
    others = Authority().server().write(tmp_path, "other")
    async with serving(mongodb_uri, data_dir=tmp_path, tls_cert=cert, tls_key=key) as (server, _):
        with pytest.raises(Unhealthy, match="does not answer"):
            await ask(server, "readiness", tls_cert=others[0], tls_key=others[1])


@pytest.mark.usefixtures("logs_stay")
@pytest.mark.parametrize("content", [b"", b"no PEM"])
def test_a_certificate_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command ends with a sentence that names the flags."""
    (tmp_path / "bad.pem").write_bytes(content)
    path = str(tmp_path / "bad.pem")
    with pytest.raises(SystemExit, match="--tls-cert and --tls-key"):
        main(["health", "--tls-cert", path, "--tls-key", path])
    assert not capsys.readouterr().out


async def test_the_command_ends_with_0_or_with_1(server: Server) -> None:
    """The exit code is what a health check reads; a failure is one line on stderr."""
    address = str(server.address)
    command = (sys.executable, "-m", "service", "health", "--address")
    good = await asyncio.create_subprocess_exec(*command, address)
    bad = await asyncio.create_subprocess_exec(*command, "127.0.0.1:9", stderr=asyncio.subprocess.PIPE)
    _, told = await bad.communicate()
    assert (await good.wait(), bad.returncode) == (0, 1)
    assert told.decode() == "contactservice: 127.0.0.1:9 does not answer: UNAVAILABLE\n"
