"""Where the service may listen: addresses, doors that stay shut, and settings that are incomplete."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service import config as configuration
from service.config import Config
from service.rpc import listening, token_file
from service.rpc.auth import SCOPES
from service.rpc.listening import Address, CannotServe
from tests.rpc.issuer import AUDIENCE, NAME
from tests.rpc.pki import Authority

BINDS = {"loopback": "127.0.0.1:0", "one address": "192.0.2.1:0", "all addresses": "0.0.0.0:0"}
TRANSPORTS = ("plain", "TLS", "mTLS")
CREDENTIALS = ("dev token", "token file", "JWTs")
# Of the 27, what is refused, with the flags that its sentence names. All else starts.
REFUSED: dict[tuple[str, str, str], tuple[str, ...]] = {
    **{
        (bind, "plain", who): ("--tls-cert", "--tls-key", "--insecure-bind")
        for bind in ("one address", "all addresses")
        for who in CREDENTIALS
    },
    **{
        (bind, transport, "dev token"): ("--tokens", "--jwt-issuer")
        for bind in ("one address", "all addresses")
        for transport in ("TLS", "mTLS")
    },
}


@pytest.fixture
def flags(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The flags of each choice, with the files that they name."""
    authority = Authority()
    cert, key = authority.server().write(tmp_path, "server")
    client_ca = tmp_path / "ca.pem"
    client_ca.write_bytes(authority.certificate)
    token_file.add(tmp_path / "tokens.jsonl", "a", SCOPES)
    tls = {"tls_cert": cert, "tls_key": key}
    return {
        **{name: {"address": address} for name, address in BINDS.items()},
        "plain": {},
        "TLS": tls,
        "mTLS": {**tls, "tls_client_ca": client_ca},
        "dev token": {"data_dir": tmp_path / "data"},
        "token file": {"tokens": tmp_path / "tokens.jsonl"},
        "JWTs": {
            "jwt_issuer": NAME,
            "jwt_audience": AUDIENCE,
            "jwt_jwks_url": "https://issuer.example/jwks",
        },
    }


def sentence(settings: dict[str, Any]) -> str | None:
    """Why the service does not start; None when it would."""
    try:
        config = configuration.load(settings)
        listening.credentials(config)
        listening.certificates(config)
    except CannotServe as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("bind", "transport", "who"), list(itertools.product(BINDS, TRANSPORTS, CREDENTIALS)), ids=str
)
def test_the_start_matrix(
    flags: dict[str, dict[str, Any]], bind: str, transport: str, who: str, tmp_path: Path
) -> None:
    """Each of the 27 ways to start does, or is refused in one sentence that names the way out."""
    refused = sentence(flags[bind] | flags[transport] | flags[who])
    expected = REFUSED.get((bind, transport, who))
    if expected is None:
        assert refused is None
    else:
        assert refused
        assert "\n" not in refused
        assert all(flag in refused for flag in expected)
        assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("bind", ["one address", "all addresses"])
@pytest.mark.parametrize("who", CREDENTIALS)
def test_an_insecure_bind_is_never_one_without_credentials(
    flags: dict[str, dict[str, Any]], bind: str, who: str, tmp_path: Path
) -> None:
    """--insecure-bind does without TLS, and without nothing else."""
    refused = sentence({"insecure_bind": True} | flags[bind] | flags[who])
    if who == "dev token":
        assert refused
        assert "--tokens" in refused
        assert not (tmp_path / "data").exists()
    else:
        assert refused is None


@pytest.mark.parametrize(
    "host", ["[::]", "[2001:db8::1]", "example.com", "0", "127.1", "[::ffff:127.0.0.1]", "localhost.evil"]
)
def test_what_only_looks_like_loopback_is_none(flags: dict[str, dict[str, Any]], host: str) -> None:
    """Names and spellings that could mean another address need what other addresses need."""
    refused = sentence(flags["dev token"] | {"address": f"{host}:0"})
    assert refused
    assert "is not loopback" in refused


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tls_key": None}, ["--tls-cert", "--tls-key"]),
        ({"tls_cert": None, "tls_client_ca": None}, ["--tls-key", "--tls-cert"]),
        ({"tls_cert": None, "tls_key": None}, ["--tls-client-ca", "--tls-cert"]),
        ({"jwt_issuer": None}, ["--jwt-issuer"]),
        ({"jwt_audience": None}, ["--jwt-audience"]),
        ({"jwt_jwks_url": None}, ["--jwt-jwks-url"]),
        ({"jwt_audience": ""}, ["--jwt-audience"]),
        ({"jwt_jwks_url": "http://issuer.example/jwks"}, ["--jwt-jwks-url", "https"]),
        ({"jwt_jwks_url": "ftp://127.0.0.1/jwks"}, ["--jwt-jwks-url"]),
        ({"jwt_jwks_url": "file:///absent/jwks.json"}, ["--jwt-jwks-url", "file://"]),
        ({"jwt_jwks_url": "https:///jwks"}, ["--jwt-jwks-url"]),
        ({"jwt_jwks_url": "issuer.example/jwks"}, ["--jwt-jwks-url"]),
        ({"jwt_algorithms": "HS256"}, ["--jwt-algorithms"]),
        ({"jwt_algorithms": "RS256,none"}, ["--jwt-algorithms"]),
        ({"jwt_algorithms": ","}, ["--jwt-algorithms"]),
        ({"tls_cert": Path("absent.pem")}, ["--tls-cert", "absent.pem"]),
        ({"tls_key": Path("absent.key")}, ["--tls-key", "absent.key"]),
        ({"tls_client_ca": Path("absent.pem")}, ["--tls-client-ca", "absent.pem"]),
        ({"tokens": Path("absent.jsonl")}, ["--tokens", "absent.jsonl"]),
    ],
    ids=str,
)
def test_what_is_incomplete_is_named(
    flags: dict[str, dict[str, Any]], changes: dict[str, Any], named: list[str]
) -> None:
    """A flag without those that it needs, or a file that is not there: one sentence with the flag."""
    whole = flags["loopback"] | flags["mTLS"] | flags["JWTs"]
    assert sentence(whole) is None
    refused = sentence({name: value for name, value in (whole | changes).items() if value is not None})
    assert refused
    assert "\n" not in refused
    assert all(flag in refused for flag in named)


def another_key(folder: Path) -> dict[str, Path]:
    _, key = Authority().server().write(folder, "another")
    return {"tls_key": key}


def nonsense(folder: Path) -> Path:
    (folder / "nonsense").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return folder / "nonsense"


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        (another_key, "--tls-key"),
        (lambda folder: {"tls_cert": nonsense(folder)}, "--tls-cert"),
        (lambda folder: {"tls_key": nonsense(folder)}, "--tls-key"),
        (lambda folder: {"tls_client_ca": nonsense(folder)}, "--tls-client-ca"),
        (lambda folder: {"tls_cert": folder}, "--tls-cert"),
    ],
)
def test_files_that_do_not_belong_together_are_named(
    flags: dict[str, dict[str, Any]],
    tmp_path: Path,
    changes: Callable[[Path], dict[str, Path]],
    flag: str,
) -> None:
    """A key of another certificate, no PEM, or a folder: the service does not start with it."""
    refused = sentence(flags["loopback"] | flags["mTLS"] | changes(tmp_path))
    assert refused
    assert "\n" not in refused
    assert flag in refused


def test_a_certificate_alone_is_no_credential(flags: dict[str, dict[str, Any]]) -> None:
    """Only a token file says what a certificate may: without one the dev token is asked for."""
    config = configuration.load(flags["loopback"] | flags["mTLS"] | flags["dev token"])
    peer = {"x509_pem_cert": [b"any"], "x509_subject": [b"CN=any"]}
    assert listening.credentials(config).certified(lambda: peer) is None


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("127.0.0.1:50051", "127.0.0.1", 50051, "127.0.0.1:50051"),
        ("localhost:0", "localhost", 0, "localhost:0"),
        (":0", "127.0.0.1", 0, "127.0.0.1:0"),
        ("[::1]:1", "::1", 1, "[::1]:1"),
    ],
)
def test_an_address_is_host_and_port(text: str, host: str, port: int, shown: str) -> None:
    """Without a host it is loopback."""
    address = Address.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, shown)
    assert address.is_loopback


@pytest.mark.parametrize("text", ["", "50051", "localhost", "localhost:", "localhost:x", "localhost:65536"])
def test_what_is_no_address_is_named_with_its_flag(text: str) -> None:
    """The sentence has the flag and what was expected."""
    with pytest.raises(CannotServe, match="--address"):
        Address.parse(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_loopback_may_do_with_a_dev_token(host: str, tmp_path: Path) -> None:
    """On loopback a token is made and kept, readable by its owner only."""
    settings: Config = configuration.load({"address": f"{host}:0", "data_dir": tmp_path})
    first, second = listening.credentials(settings), listening.credentials(settings)
    token = (tmp_path / "dev-token").read_text().strip()
    assert (tmp_path / "dev-token").stat().st_mode & 0o777 == 0o600
    for found in (first, second):
        principal = found.principal(token)
        assert principal
        assert principal.accounts == {"demo"}


@pytest.mark.parametrize("content", ["", "\n", "secret", "cs_short", "\0" * 46, "cs_" + "x" * 44])
def test_a_dev_token_that_is_none_of_ours_is_refused(content: str, tmp_path: Path) -> None:
    """An empty file would let everybody in: one sentence with the file, and without what is in it."""
    (tmp_path / "dev-token").write_text(content)
    refused = sentence({"address": "127.0.0.1:0", "data_dir": tmp_path})
    assert refused
    assert f"{tmp_path / 'dev-token'} holds no token of ours" in refused
    assert not content.strip() or content not in refused
