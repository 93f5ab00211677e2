"""How `serve --workers N` starts, or says in one sentence why not."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pymongo import MongoClient

from service.__main__ import main
from service.storage.indexes import TERMS

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]


def sentence(*flags: str, folder: Path = Path()) -> tuple[int, list[str]]:
    """How a start in that folder ends, and all that it says."""
    run = subprocess.run(
        [sys.executable, "-P", "-m", "service", "serve", "--workers", "2", *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stdout == ""
    return run.returncode, run.stderr.splitlines()


@pytest.mark.parametrize("shared", [False, True])
def test_a_busy_port_is_one_sentence(shared: bool, tmp_path: Path) -> None:
    """Another service on the port is not joined, also when it would share with others of its user."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, [line] = sentence("--address", address, "--data-dir", str(tmp_path))
    assert code == 1
    assert line.startswith(f"contactservice: {address} cannot be bound")


@pytest.mark.parametrize(
    ("setting", "beginning"),
    [
        (("--tokens", "/nowhere"), "--tokens: cannot read /nowhere"),
        (("--token-keys", "/nowhere"), "--token-keys /nowhere: expected"),
        (("--mongodb-uri", "mongodb://"), "--mongodb-uri cannot be used"),
        (("--workers", "0"), "workers: "),
        (("--database", "a.b"), "database: expected"),
        (("--ops-address", "9464"), "--ops-address 9464: expected host:port"),
        (("--audit-file", "/nowhere/audit"), "--audit-file /nowhere/audit cannot be written"),
        (("--ready-file", "/nowhere/ready"), "--ready-file /nowhere/ready cannot be written"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    setting: tuple[str, str], beginning: str, tmp_path: Path, mongodb_uri: str
) -> None:
    """Said once, not by each worker, whoever found it; nothing is left running."""
    place = ("--address", "127.0.0.1:0", "--data-dir", str(tmp_path), "--log-level", "error")
    code, [line] = sentence(*place, "--mongodb-uri", mongodb_uri, *setting)
    assert code == 1
    assert line.startswith(f"contactservice: {beginning}")


def test_an_index_that_is_in_the_way_is_one_sentence(tmp_path: Path, mongodb_uri: str, account: str) -> None:
    """What a worker finds when it first looks at its database ends the start, as that of one process."""
    place = ("--address", "127.0.0.1:0", "--data-dir", str(tmp_path), "--log-level", "error")
    with MongoClient(mongodb_uri) as client:
        client[account]["contacts"].create_index([("terms", 1)], name=TERMS)
        code, [line] = sentence(*place, "--mongodb-uri", mongodb_uri, "--database", account)
        client.drop_database(account)
    assert code == 1
    assert line.startswith("contactservice: the index terms_id of contacts has other keys; drop it")


def test_workers_are_of_our_code_wherever_they_start(tmp_path: Path, mongodb_uri: str) -> None:
    """A package of the same name in the current folder is not taken for the service."""
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__init__.py").write_text("raise SystemExit('another service')")
    place = ("--address", "127.0.0.1:0", "--data-dir", "data", "--log-level", "error")
    asked = ("--mongodb-uri", mongodb_uri, "--ready-file", "/nowhere/ready")
    _, [line] = sentence(*place, *asked, folder=tmp_path)
    assert line.startswith("contactservice: --ready-file /nowhere/ready cannot be written")


@pytest.mark.usefixtures("logs_stay")
def test_where_ports_are_not_spread_it_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Other systems give all connections to one of the processes, and keep those of a killed parent."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SystemExit, match="--workers: only Linux"):
        main(["serve", "--workers", "2", "--address", "127.0.0.1:0", "--data-dir", str(tmp_path)])
