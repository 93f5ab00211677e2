"""What tests of TLS share: an authority, the flags that name its files, and a token."""

from pathlib import Path

import pytest

from service.rpc import token_file
from service.rpc.auth import SCOPES
from tests.rpc.pki import Authority


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> dict[str, Path]:
    """The flags of TLS, and a token file with one token of account `a`."""
    cert, key = authority.server().write(tmp_path, "server")
    return {"tls_cert": cert, "tls_key": key, "tokens": tmp_path / "tokens.jsonl"}


@pytest.fixture
def tls_token(tls: dict[str, Path]) -> str:
    return token_file.add(tls["tokens"], "a", SCOPES)


@pytest.fixture
def mutual_tls(authority: Authority, tls: dict[str, Path], tmp_path: Path, tls_token: str) -> dict[str, Path]:  # noqa: ARG001
    """The flags of mTLS."""
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    return tls | {"tls_client_ca": tmp_path / "ca.pem"}
