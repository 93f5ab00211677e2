"""Files that cannot be read for a while, though nothing in them changes: they are read when they can be."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.ops import reloads
from service.rpc import token_file, tokens, whole_file
from service.rpc.certificates import Certificates
from service.rpc.tokens import Tokens
from tests.process import eventually
from tests.rpc.pki import Authority

FOREVER = 3600.0


@contextmanager
def nothing_can_be_opened() -> Iterator[None]:
    """As without the right to, which root always has: files are seen and cannot be read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def revoked(tmp_path: Path) -> tuple[Path, Tokens, str]:
    """A token file, what judges by it, and a token that was revoked while the file could not be read."""
    file = tmp_path / "tokens.jsonl"
    token = token_file.add(file, "a", ("read",))
    judge = Tokens(file)
    token_file.revoke(file, token_file.digest(token)[:12])
    return file, judge, token


def test_a_file_that_could_not_be_read_is_read_when_it_can_be(
    revoked: tuple[Path, Tokens, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing about the file changes, and yet the revoked token goes; told and counted once."""
    _, judge, token = revoked
    failures = reloads.failures["tokens"]
    monkeypatch.setattr(tokens, "_LOOK_AGAIN_SECONDS", 0.0)
    with nothing_can_be_opened():
        for _ in range(3):
            assert judge.principal(token)
            assert judge.principal("unknown") is None
    assert reloads.failures["tokens"] == failures + 1
    assert len(caplog.records) == 1
    assert reloads.failing["tokens"]
    assert eventually(lambda: judge.principal(token) is None)
    assert not reloads.failing["tokens"]


def test_a_right_that_was_given_is_noticed_at_once(
    revoked: tuple[Path, Tokens, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chmod changes neither content nor time of the file; nobody waits for the next attempt."""
    file, judge, token = revoked
    monkeypatch.setattr(tokens, "_LOOK_AGAIN_SECONDS", FOREVER)
    with nothing_can_be_opened():
        assert judge.principal("unknown") is None
    file.chmod(0o644)
    assert judge.principal("unknown") is None
    assert judge.principal(token) is None


def test_unknown_tokens_cost_no_reading_of_a_broken_file(
    revoked: tuple[Path, Tokens, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two attempts it is only looked at: how often they come is the attacker's choice."""
    _, judge, token = revoked
    monkeypatch.setattr(tokens, "_LOOK_AGAIN_SECONDS", FOREVER)
    with nothing_can_be_opened():
        assert judge.principal("unknown") is None
    for _ in range(10):
        assert judge.principal("unknown") is None
    assert judge.principal(token)


def test_each_change_that_breaks_a_file_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often each of them is looked at; a file that came back unchanged is whole again."""
    file = tmp_path / "tokens.jsonl"
    token = token_file.add(file, "a", ("read",))
    judge = Tokens(file)
    monkeypatch.setattr(tokens, "_LOOK_AGAIN_SECONDS", 0.0)
    failures = reloads.failures["tokens"]
    whole = file.read_bytes()
    for content in (b"{", b"[]", b"{"):
        file.write_bytes(content)
        for _ in range(3):
            assert judge.principal("unknown") is None
    assert reloads.failures["tokens"] == failures + 3
    file.write_bytes(whole)
    assert eventually(lambda: judge.principal("unknown") is None and not reloads.failing["tokens"])
    assert judge.principal(token)


def test_certificates_that_could_not_be_read_are_read_when_they_can_be(
    authority: Authority, tmp_path: Path
) -> None:
    """Nothing about the files changes, and yet the new pair is taken; counted once."""
    cert, key = authority.server().write(tmp_path, "server")
    certificates = Certificates(cert, key, None)
    before = certificates._set
    renewed = authority.server("renewed")
    whole_file.replace(cert, renewed.certificate)
    whole_file.replace(key, renewed.key)
    failures = reloads.failures["certificates"]
    with nothing_can_be_opened():
        for _ in range(4):
            certificates.look()
    assert reloads.failures["certificates"] == failures + 1
    assert certificates._set is before
    certificates.look()
    assert certificates._set is not before
    assert not reloads.failing["certificates"]


def test_certificates_that_were_away_and_come_back_are_in_force(authority: Authority, tmp_path: Path) -> None:
    """Moved away and back they are what was read before, and no failure stays behind."""
    cert, key = authority.server().write(tmp_path, "server")
    certificates = Certificates(cert, key, None)
    folder, away = tmp_path, tmp_path.with_name(tmp_path.name + "-away")
    folder.rename(away)
    for _ in range(2):
        certificates.look()
    assert reloads.failing["certificates"]
    away.rename(folder)
    for _ in range(2):
        certificates.look()
    assert not reloads.failing["certificates"]
