"""The commands that make, show and take tokens, and the doors that `serve` does not open."""

import json
import stat
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from service.rpc import token_file
from service.rpc.auth import SCOPES

ROOT = Path(__file__).resolve().parents[2]


def command(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    """One run of `contactservice`, in the folder of the project."""
    words = (sys.executable, "-m", "service", *words)
    return subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True, timeout=30)


def test_token_add_prints_the_token_and_keeps_its_hash(tmp_path: Path) -> None:
    """Nothing else on stdout; the file is its owner's only, holds no token, and keeps what it had."""
    file = tmp_path / "tokens.jsonl"
    tokens = []
    for account in ("demo", "*"):
        run = command("token", "add", "--tokens", file, "--account", account, "--scopes", "read,write")
        assert run.returncode == 0
        assert run.stdout == run.stdout.strip() + "\n"
        assert len(run.stdout.split()) == 1
        tokens.append(run.stdout.strip())
    assert len(set(tokens)) == 2
    assert all(len(token) >= 43 for token in tokens)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not [token for token in tokens if token in file.read_text()]
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(entry["account"], entry["scopes"]) for entry in entries] == [
        ("demo", ["read", "write"]),
        ("*", ["read", "write"]),
    ]


def test_token_list_and_revoke(tmp_path: Path) -> None:
    """What is listed can be revoked by its id, and no listing shows a token or its whole hash."""
    file = tmp_path / "tokens.jsonl"
    token = token_file.add(file, "demo", ("read", "export"))
    token_file.add(file, "other", SCOPES)
    shown = command("token", "list", "--tokens", file).stdout.splitlines()
    assert [line.split()[1:3] for line in shown] == [["demo", "read,export"], ["other", ",".join(SCOPES)]]
    assert token not in "".join(shown)
    assert command("token", "revoke", "--tokens", file, shown[0].split()[0]).returncode == 0
    again = command("token", "revoke", "--tokens", file, shown[0].split()[0])
    assert again.returncode == 1
    assert len(again.stderr.splitlines()) == 1
    assert command("token", "list", "--tokens", file).stdout.splitlines() == shown[1:]


def test_token_add_takes_several_accounts_and_an_end(tmp_path: Path) -> None:
    """--account repeated, --expires as a span or a time; `token list` shows both."""
    file = tmp_path / "tokens.jsonl"
    accounts = ("--account", "a", "--account", "b")
    for expires in ("90d", "2100-01-31T01:00:00+01:00"):
        assert command("token", "add", "--tokens", file, *accounts, "--expires", expires).returncode == 0
    [span, time] = token_file.read(file)
    made = datetime.fromisoformat(span.created_at)
    assert span.accounts == time.accounts == ("a", "b")
    assert span.expires_at
    assert abs(datetime.fromisoformat(span.expires_at) - made - timedelta(days=90)) < timedelta(minutes=1)
    assert time.expires_at == "2100-01-31T00:00:00+00:00"
    token_file.add(file, "c", ("read",))
    shown = command("token", "list", "--tokens", file).stdout.splitlines()
    assert "  a,b  " in shown[1]
    assert "until 2100-01-31T00:00:00+00:00" in shown[1]
    assert "does not expire" in shown[2]


def test_token_add_names_the_principal_of_certificates(tmp_path: Path) -> None:
    """No token is made nor printed; the line is listed with its principal and revoked by its id."""
    file = tmp_path / "tokens.jsonl"
    principal = ("--principal", "spiffe://example.org/billing")
    add = ("token", "add", "--tokens", file, "--account", "a", *principal)
    run = command(*add)
    assert (run.returncode, run.stdout) == (0, "")
    [entry] = token_file.read(file)
    assert (entry.principal, entry.sha256) == (principal[1], None)
    again = command(*add)
    assert again.returncode == 1
    assert len(again.stderr.splitlines()) == 1
    [shown] = command("token", "list", "--tokens", file).stdout.splitlines()
    assert principal[1] in shown
    assert command("token", "revoke", "--tokens", file, shown.split()[0]).returncode == 0
    assert token_file.read(file) == []


@pytest.mark.parametrize(
    "expires", ["0d", "soon", "-1d", "90", "2020-01-01T00:00:00Z", "2100-01-01T00:00:00"]
)
def test_token_add_refuses_an_end_that_is_none(tmp_path: Path, expires: str) -> None:
    """A time without its zone or in the past, or no time: one sentence with the flag."""
    file = tmp_path / "tokens.jsonl"
    run = command("token", "add", "--tokens", file, "--account", "a", f"--expires={expires}")
    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1
    assert "--expires" in run.stderr
    assert not file.exists()


@pytest.mark.parametrize(
    ("account", "scopes"),
    [("a b", "read"), ("", "read"), ("x" * 65, "read"), ("a", "admin"), ("a", ""), ("a", "Read")],
)
def test_token_add_refuses_what_no_call_could_use(tmp_path: Path, account: str, scopes: str) -> None:
    """A wrong account or scope is one sentence, and no token is made."""
    file = tmp_path / "tokens.jsonl"
    run = command("token", "add", "--tokens", file, "--account", account, "--scopes", scopes)
    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1
    assert not file.exists()


def test_token_add_says_what_a_token_without_flags_may() -> None:
    """Everything, without an end: who asks for help is told."""
    text = " ".join(command("token", "add", "--help").stdout.split())
    assert f"without this flag everything: {','.join(SCOPES)}" in text
    assert "without this flag never" in text


@pytest.mark.parametrize("place", ["tokens.jsonl/tokens.jsonl", "x" * 300, "."])
@pytest.mark.parametrize("words", [("add", "--account", "a"), ("list",), ("revoke", "0" * 12)])
def test_a_place_that_can_hold_no_token_file_is_told(
    tmp_path: Path, words: tuple[str, ...], place: str
) -> None:
    """Below a file, with too long a name, or a folder: one sentence with the path."""
    (tmp_path / "tokens.jsonl").touch()
    run = command("token", *words, "--tokens", tmp_path / place)
    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1
    assert str(tmp_path / place) in run.stderr


def test_an_unknown_member_is_named_and_its_value_is_not(tmp_path: Path) -> None:
    """`expires` for `expires_at` would be a token without an end."""
    file = tmp_path / "tokens.jsonl"
    token_file.add(file, "a", ("read",))
    [entry] = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text(json.dumps(entry | {"expires": "2030-01-01T00:00:00Z"}))
    run = command("token", "list", "--tokens", file)
    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1
    assert "line 1: an entry has no member 'expires'" in run.stderr
    assert "2030" not in run.stderr


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--address", "0.0.0.0:0"], "--insecure-bind"),
        (["--address", "[::]:0", "--insecure-bind"], "--tokens"),
        (["--address", "127.0.0.1:0", "--tokens", "absent.jsonl"], "absent.jsonl"),
        (["--address", "127.0.0.1:0", "--tls-cert", "absent.pem"], "--tls-key"),
        (["--address", "127.0.0.1:0", "--tls-cert", "a.pem", "--tls-key", "b.pem"], "--tls-cert a.pem"),
        (["--address", "127.0.0.1:0", "--jwt-issuer", "https://issuer.example"], "--jwt-audience"),
    ],
)
def test_an_open_door_is_not_served(tmp_path: Path, flags: list[str], named: str) -> None:
    """One sentence with the flag, exit code 1, and neither database nor token is made."""
    run = command("serve", "--data-dir", tmp_path / "data", *flags)
    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1
    assert named in run.stderr
    assert not (tmp_path / "data").exists()
