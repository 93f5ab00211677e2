"""What tests of clients share: a token as a client has it."""

from pathlib import Path

import pytest

from service.rpc import token_file
from service.rpc.auth import SCOPES


@pytest.fixture
def token(tokens: Path, account: str) -> str:
    """One that is for the test's account only, so that it need not be named."""
    return token_file.add(tokens, account, SCOPES)
