"""What the server is made of: its port, keys for tokens, the version of gRPC."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from service import config as configuration
from service.domain.errors import PageTokenInvalid
from service.ops.port import claimed
from service.rpc import auth, ready_file, signers
from service.rpc import server as server_module
from service.rpc.boundary import Boundary
from service.rpc.listening import CannotServe
from service.rpc.server import Server, check_grpc
from service.storage import transcode
from tests.client import Client


async def test_a_server_without_the_compiled_part_says_so(
    mongodb_uri: str, tokens: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And what it costs: the compiled part is in the way of calls, too, not of exports alone."""
    monkeypatch.setattr(transcode, "IS_NATIVE", False)
    caplog.set_level(logging.INFO)
    async with serving(mongodb_uri, tokens, None):
        pass
    told = "the compiled part is not built: Python serves calls and exports, which takes longer"
    assert told in caplog.messages


@pytest.mark.parametrize("content", ["", "# none\n", "zz\n", "aa\n", "aa" * 31 + "\n"])
def test_a_key_file_without_good_keys_stops_the_start(content: str, tmp_path: Path) -> None:
    """Keys are at least 64 hex digits, one a line; the sentence names the flag."""
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(CannotServe, match="--token-keys"):
        signers.keys(file)


@asynccontextmanager
async def serving(mongodb_uri: str, tokens: Path, keys: Path | None) -> AsyncIterator[grpc.aio.Channel]:
    flags = {"address": "127.0.0.1:0", "tokens": tokens, "token_keys": keys, "database": "tests"}
    server = Server(configuration.load(flags), mongodb_uri, lambda: None)
    await server.start()
    async with grpc.aio.insecure_channel(str(server.address)) as channel:
        yield channel
    await server.stop()


async def test_a_key_can_be_rotated_without_breaking_tokens(
    mongodb_uri: str, tokens: Path, any_token: str, account: str, tmp_path: Path
) -> None:
    """The first key signs, all verify: a token outlives the step in which its key becomes the second."""
    old, new = "a" * 64, "b" * 64
    files = {"before": f"{old}\n", "during": f"# rotated\n{new}\n{old}\n", "after": f"{new}\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    async with serving(mongodb_uri, tokens, tmp_path / "before") as channel:
        client = Client(channel, any_token, account)
        for _ in range(2):
            await client.create()
        _, token = await client.list(page_size=1)
    async with serving(mongodb_uri, tokens, tmp_path / "during") as channel:
        page, _ = await Client(channel, any_token, account).list(page_size=1, page_token=token)
        assert len(page) == 1
    async with serving(mongodb_uri, tokens, tmp_path / "after") as channel:
        failed = await Client(channel, any_token, account).failure("ListContacts", page_token=token)
        assert failed.reason == PageTokenInvalid.reason


async def test_a_taken_address_is_told_with_its_flag(mongodb_uri: str, server: Server, tokens: Path) -> None:
    """Binding where another server listens fails, and says what to change."""
    flags = {"address": str(server.address), "tokens": tokens, "database": "tests"}
    second = Server(configuration.load(flags), mongodb_uri, lambda: None)
    with pytest.raises(CannotServe, match=f"{server.address} cannot be bound.*--address"):
        await second.start()
    await second.stop()


async def test_a_worker_listens_when_it_has_looked_at_its_database(tokens: Path, any_token: str) -> None:  # noqa: ARG001
    """On a shared port connections come at once: until a worker can answer, they are not its."""
    with claimed("127.0.0.1", 0) as holder, socket.create_server(("127.0.0.1", 0)) as silent:
        address, database = holder.getsockname(), silent.getsockname()
        flags = {"address": f"127.0.0.1:{address[1]}", "tokens": tokens, "store_timeout": 0.5}
        uri = f"mongodb://127.0.0.1:{database[1]}/?replicaSet=rs0"
        worker = Server(configuration.load(flags), uri, lambda: None, shares_port=True)
        starting = asyncio.create_task(worker.start())
        asked, _ = await asyncio.to_thread(silent.accept)
        with asked, pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        await starting
        socket.create_connection(address).close()
        await worker.stop()


@pytest.mark.parametrize("version", ["1.83.9", "1.9.0", "0.99"])
def test_an_old_grpc_stops_the_start(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 1.84 gRPC inflates a request beyond its limit: the service does not start on it."""
    monkeypatch.setattr(grpc, "__version__", version)
    with pytest.raises(CannotServe, match=r"1\.84"):
        check_grpc()


def test_an_rpc_without_a_scope_stops_the_start(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scope table is complete, or nothing is served."""
    scopes = {name: scopes for name, scopes in auth.RPC_SCOPES.items() if name != "GetContact"}
    monkeypatch.setattr(auth, "RPC_SCOPES", scopes)
    with pytest.raises(RuntimeError, match="GetContact"):
        Boundary(server_module.SERVICE, server._boundary._credentials, server.limits, 1.0)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://db/?replicaSet=rs0", "mongodb://db/?replicaSet=rs0"),
        ("mongodb://ann:s3cret@a,b:1/?replicaSet=rs0", "mongodb://a,b:1/?replicaSet=rs0"),
        (
            "mongodb://db/?tls=true&tlsCertificateKeyFilePassword=s3cret&replicaSet=rs0",
            "mongodb://db/?tls=true&replicaSet=rs0",
        ),
        ("mongodb+srv://db/?authMechanismProperties=AWS_SESSION_TOKEN:s3cret", "mongodb+srv://db/"),
    ],
)
def test_a_uri_is_shown_without_its_secrets(uri: str, shown: str) -> None:
    """User, password and secret options are left out of what the ready file tells."""
    assert ready_file.without_credentials(uri) == shown
