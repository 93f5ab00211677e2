"""One real mongod and one real server for the whole session; every test has an account of its own."""

import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from pymongo import MongoClient

from service import config as configuration
from service.ops import logs
from service.rpc import token_file
from service.rpc.auth import ANY_ACCOUNT, SCOPES
from service.rpc.server import Server
from service.storage import transcode
from service.storage.mongod import EmbeddedMongod
from service.storage.mongod_binary import choose
from service.storage.mongod_process import direct, end, free_port, listens, spawn
from service.storage.transcode import Transcoder
from tests.client import Client
from tests.process import eventually, flags

# A shell that starts this in the background without job control has it ignore Ctrl-C, which every program
# started here would inherit; some tests send it to them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mongodb-uri", help="test on this MongoDB replica set instead of an own mongod")
    parser.addoption("--no-batching", action="store_true", help="the session's server sends no batches")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not transcode.IS_NATIVE:
        terminalreporter.section("THE COMPILED PART WAS NOT TESTED", red=True)
        terminalreporter.line(
            "It was not built: .venv/setup.log says why (a C compiler, the headers of Python)."
        )


@pytest.fixture(params=["python", "native"])
def transcoder(request: pytest.FixtureRequest) -> Transcoder:
    """Both ways from documents to records, one after the other."""
    if request.param == "python":
        return transcode.Python()
    if not transcode.IS_NATIVE:
        pytest.skip("the compiled part is not built")
    return transcode.Native()


@pytest.fixture(scope="session")
def mongodb_uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := request.config.getoption("--mongodb-uri"):
        yield given
        return

    mongod = EmbeddedMongod(tmp_path_factory.mktemp("mongod"))
    mongod.start()
    yield mongod.uri
    mongod.stop()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A standalone mongod that asks for credentials, with a user `ann` who may only read; host and port."""
    port = free_port()
    (tmp_path / "db").mkdir()
    child = spawn(choose(None, tmp_path / "lib"), tmp_path / "db", port, "--auth")
    try:
        eventually(lambda: listens(port), 30)
        with direct(port) as client:
            role = {
                "createUser": "ann",
                "pwd": "hunter2",
                "roles": [{"role": "read", "db": "contactservice"}],
            }
            root = {"createUser": "root", "pwd": "hunter2", "roles": ["root"]}
            client.admin.command(root)
        with MongoClient("127.0.0.1", port, username="root", password="hunter2") as client:
            client.admin.command(role)
        yield f"127.0.0.1:{port}"
    finally:
        end(child, 0)


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The token file of the session's server."""
    return tmp_path_factory.mktemp("tokens") / "tokens.jsonl"


@pytest.fixture(scope="session")
def any_token(tokens: Path) -> str:
    """A token with all scopes for any account, named per call."""
    return token_file.add(tokens, ANY_ACCOUNT, SCOPES)


@pytest.fixture
def on_the_sessions_database(mongodb_uri: str, tokens: Path, any_token: str) -> list[str]:  # noqa: ARG001
    """The flags of a service in a process of its own."""
    return flags(mongodb_uri, tokens)


@pytest_asyncio.fixture(scope="session")
async def server(
    request: pytest.FixtureRequest,
    mongodb_uri: str,
    tokens: Path,
    any_token: str,  # noqa: ARG001
) -> AsyncIterator[Server]:
    flags = {
        "address": "127.0.0.1:0",
        "tokens": tokens,
        "database": "tests",
        "stall_timeout": 0.5,
        "drain_delay": 0.0,
        "batching": not request.config.getoption("--no-batching"),
    }
    server = Server(configuration.load(flags), mongodb_uri, lambda: None)
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="session")
async def channel(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(str(server.address)) as channel:
        yield channel


@pytest.fixture
def each_way(server: Server, transcoder: Transcoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's server exports both ways, one after the other."""
    monkeypatch.setattr(server.store, "_transcoder", transcoder)


@pytest.fixture
def logs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a command that is called in this process: its logs would go to a stream that ends with the test."""
    monkeypatch.setattr(logs, "configure", lambda *_: None)


@pytest.fixture
def account() -> str:
    """An account that no other test has."""
    return "test-" + secrets.token_hex(8)


@pytest.fixture
def client(channel: grpc.aio.Channel, any_token: str, account: str) -> Client:
    """Calls as the test's account, with all scopes."""
    return Client(channel, any_token, account)
