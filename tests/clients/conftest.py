"""The clients that tests call with: both kinds, as the test's account, and a token as a client has it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contactservice import AsyncContactClient, ContactClient
from service.rpc import token_file
from service.rpc.auth import SCOPES
from service.rpc.server import Server
from tests.clients.command import Cli
from tests.clients.either import Either
from tests.rpc.conftest import authority, mutual_tls, tls, tls_token
from tests.test_stubs import floor_python

__all__ = ["authority", "floor_python", "mutual_tls", "tls", "tls_token"]


@pytest.fixture
def token(tokens: Path, account: str) -> str:
    """One that is for the test's account only, so that it need not be named."""
    return token_file.add(tokens, account, SCOPES)


@pytest.fixture(params=[AsyncContactClient, ContactClient], ids=["async", "sync"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest_asyncio.fixture
async def contacts(kind: Any, server: Server, any_token: str, account: str) -> AsyncIterator[Either]:
    either = Either(kind(str(server.address), token=any_token, account=account, insecure=True))
    yield either
    await either.close()


@pytest.fixture
def cli(server: Server, any_token: str, account: str, tmp_path: Path) -> Cli:
    """With the test's account, and all scopes."""
    return Cli(tmp_path, ADDRESS=str(server.address), TOKEN=any_token, ACCOUNT=account, LC_ALL="C")
