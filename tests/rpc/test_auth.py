"""Credentials: which token is taken, for which account, and how tokens come and go while the server runs."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
import pytest_asyncio

from service.ops import reloads
from service.rpc import token_file
from service.rpc.auth import ANY_ACCOUNT, SCOPES
from tests.client import Client
from tests.rpc.calls import account as named
from tests.rpc.calls import bearer, listed, outcome
from tests.rpc.serving import serving


def line(**changes: Any) -> bytes:
    """A good line of a token file, but for the changes; those to None are left out."""
    good = {"sha256": "0" * 64, "account": "a", "scopes": ["read"], "created_at": "2026-01-01T00:00:00Z"}
    return orjson.dumps({name: value for name, value in (good | changes).items() if value is not None})


@pytest_asyncio.fixture
async def own(mongodb_uri: str, tmp_path: Path) -> AsyncIterator[tuple[Path, str, grpc.aio.Channel]]:
    """A token file that may be broken, one token of account `a` in it, and a channel to its server."""
    file = tmp_path / "tokens.jsonl"
    token = token_file.add(file, "a", SCOPES)
    async with serving(mongodb_uri, tokens=file) as (_, channel):
        yield file, token, channel


async def test_without_a_token_nobody_is_let_in(channel: grpc.aio.Channel, account: str) -> None:
    """CREDENTIALS_MISSING, with or without an account."""
    for metadata in ([], [("x-account-id", account)], [("x-api-key", "k")]):
        answer = await listed(channel, *metadata)
        assert answer
        assert (answer.code, answer.reason) == ("UNAUTHENTICATED", "CREDENTIALS_MISSING")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "{}",
        "Basic {}",
        "Bearer{}",
        "Bearer x{}",
        "Bearer {}x",
        "Bearer {} {}",
        "Token {}",
    ],
)
async def test_a_malformed_or_unknown_token_is_refused(
    channel: grpc.aio.Channel, any_token: str, account: str, header: str
) -> None:
    """CREDENTIALS_INVALID, and the sentence does not repeat the token."""
    value = header.format(any_token, any_token)
    answer = await listed(channel, ("authorization", value), ("x-account-id", account))
    assert answer
    assert (answer.code, answer.reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    assert any_token not in answer.message


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_case(
    channel: grpc.aio.Channel, any_token: str, account: str, scheme: str
) -> None:
    """As HTTP has it."""
    header = ("authorization", f"{scheme} {any_token}")
    assert await listed(channel, header, ("x-account-id", account)) is None


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        (None, True),
        ("a", True),
        ("b", False),
        ("A", False),
        ("", False),
        ("*", False),
        ("a ", False),
        ("a,b", False),
    ],
)
async def test_a_token_of_one_account_may_name_only_that(
    own: tuple[Path, str, grpc.aio.Channel], named: str | None, allowed: bool
) -> None:
    """Naming none means its own; any other is ACCOUNT_NOT_ALLOWED, whether that exists or not."""
    _, token, channel = own
    answer = await listed(channel, bearer(token), *([] if named is None else [("x-account-id", named)]))
    assert (answer is None) is allowed
    if answer:
        assert (answer.code, answer.reason) == ("PERMISSION_DENIED", "ACCOUNT_NOT_ALLOWED")


@pytest.mark.parametrize("named", ["a", "A-Z.a_z-0.9", "x" * 64, "0", "."])
async def test_a_token_of_any_account_names_one(
    channel: grpc.aio.Channel, any_token: str, named: str
) -> None:
    """1 to 64 of the characters A-Z a-z 0-9 . _ - are an account."""
    assert await listed(channel, bearer(any_token), ("x-account-id", named)) is None


@pytest.mark.parametrize("named", [None, "", "*", "x" * 65, "a b", "a/b", "a:b", "a$", "a,b", "a@b", "%41"])
async def test_what_is_no_account_is_refused(
    channel: grpc.aio.Channel, any_token: str, named: str | None
) -> None:
    """ACCOUNT_NOT_ALLOWED, also when none is named."""
    answer = await listed(channel, bearer(any_token), *([] if named is None else [("x-account-id", named)]))
    assert answer
    assert (answer.code, answer.reason) == ("PERMISSION_DENIED", "ACCOUNT_NOT_ALLOWED")


async def test_a_new_token_is_good_at_once(own: tuple[Path, str, grpc.aio.Channel], account: str) -> None:
    """The first call with a token that was just added is answered, for the account that it names."""
    file, token, channel = own
    contact = await Client(channel, token, None).create(name="Ann")
    added = token_file.add(file, ANY_ACCOUNT, ("read",))
    assert await Client(channel, added, "a").get(contact.id) == contact
    assert await Client(channel, added, account).list() == ([], "")


async def test_a_revoked_token_is_refused_soon(own: tuple[Path, str, grpc.aio.Channel]) -> None:
    """Within seconds, while others stay good, and for as long as the server runs."""
    file, token, channel = own
    other = token_file.add(file, "a", SCOPES)
    assert await listed(channel, bearer(other)) is None
    [entry] = [entry for entry in token_file.read(file) if entry.sha256 == token_file.digest(token)]
    token_file.revoke(file, entry.id)
    async with asyncio.timeout(5):
        while (answer := await listed(channel, bearer(token))) is None:
            await asyncio.sleep(0.05)
    assert (answer.code, answer.reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    assert await listed(channel, bearer(other)) is None


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe",
        b"[]\n",
        b"null\n",
        b'{"sha256": 1}\n',
        b'{"sha256":"a","account":"a b","scopes":["read"]}',
        line(account="a b"),
        line(account=[]),
        line(account=["a", 7]),
        line(account={"a": 1}),
        line(scopes=["admin"]),
        line(scopes="read"),
        line(sha256="A" * 64),
        line(sha256=None),
        line(principal="CN=both"),
        line(sha256=None, principal="nobody"),
        line(expires_at="soon"),
        line(expires_at="2030-01-01T00:00:00"),
        line(expires_at=1893456000),
        line(expires="2030-01-01T00:00:00Z"),
        line() + b"\n" + line(),
    ],
)
async def test_a_broken_file_keeps_the_last_good_one(
    own: tuple[Path, str, grpc.aio.Channel], content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Known tokens stay good and unknown ones unknown, until it is whole again; told and counted once."""
    file, token, channel = own
    whole = file.read_bytes()
    failures = reloads.failures["tokens"]
    caplog.set_level("WARNING", logger="service")
    file.write_bytes(whole + content)
    for _ in range(2):
        unknown = await listed(channel, bearer("unknown"))
        assert unknown
        assert unknown.reason == "CREDENTIALS_INVALID"
        assert await listed(channel, bearer(token)) is None
    assert reloads.failures["tokens"] == failures + 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert reloads.failing["tokens"]
    file.write_bytes(whole)
    added = token_file.add(file, "a", ("read",))
    assert await listed(channel, bearer(added)) is None
    assert not reloads.failing["tokens"]


async def test_a_missing_file_keeps_the_last_good_one(
    own: tuple[Path, str, grpc.aio.Channel], caplog: pytest.LogCaptureFixture
) -> None:
    """Also when the file is gone for a moment, which is told and counted once."""
    file, token, channel = own
    failures = reloads.failures["tokens"]
    caplog.set_level("WARNING", logger="service")
    whole = file.read_bytes()
    file.unlink()
    for _ in range(3):
        assert await listed(channel, bearer("unknown")) is not None
        assert await listed(channel, bearer(token)) is None
    assert reloads.failures["tokens"] == failures + 1
    assert len(caplog.records) == 1
    file.write_bytes(whole)
    assert await listed(channel, bearer(token_file.add(file, "a", SCOPES))) is None


async def test_a_token_for_several_accounts_names_one(own: tuple[Path, str, grpc.aio.Channel]) -> None:
    """Any of them and no other; naming none is refused, as none is its own."""
    file, _, channel = own
    token = bearer(token_file.add(file, ("b", "c"), ("read",)))
    for name, expected in (
        ("b", "OK"),
        ("c", "OK"),
        ("a", "ACCOUNT_NOT_ALLOWED"),
        ("*", "ACCOUNT_NOT_ALLOWED"),
    ):
        assert await outcome(channel, token, named(name)) == expected
    assert await outcome(channel, token) == "ACCOUNT_NOT_ALLOWED"


async def test_two_tokens_live_while_one_takes_over(own: tuple[Path, str, grpc.aio.Channel]) -> None:
    """Rotation without a refused call: add the new one, give it to the clients, revoke the old one."""
    file, old, channel = own
    new = token_file.add(file, "a", SCOPES)
    for token in (old, new):
        assert await outcome(channel, bearer(token)) == "OK"
    token_file.revoke(file, token_file.digest(old)[:12])
    async with asyncio.timeout(5):
        while await outcome(channel, bearer(old)) == "OK":
            assert await outcome(channel, bearer(new)) == "OK"
    assert await outcome(channel, bearer(old)) == "CREDENTIALS_INVALID"
    assert await outcome(channel, bearer(new)) == "OK"


async def test_a_change_is_seen_while_only_known_tokens_call(own: tuple[Path, str, grpc.aio.Channel]) -> None:
    """Scopes that a token lost are gone within five seconds of calls with it."""
    file, token, channel = own
    file.write_bytes(file.read_bytes().replace(b'"read"', b'"write"'))
    async with asyncio.timeout(5):
        while await outcome(channel, bearer(token)) == "OK":
            pass
    assert await outcome(channel, bearer(token)) == "SCOPE_MISSING"


async def test_an_expired_token_is_refused(own: tuple[Path, str, grpc.aio.Channel]) -> None:
    """CREDENTIALS_INVALID from the second on in which it expires, and good until then."""
    file, _, channel = own
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    token = token_file.add(file, "a", SCOPES, end)
    async with asyncio.timeout(10):
        while await outcome(channel, bearer(token)) == "OK":
            pass
    assert time.time() >= end.timestamp()
    assert await outcome(channel, bearer(token)) == "CREDENTIALS_INVALID"


async def test_lines_of_an_earlier_version_stay_good(own: tuple[Path, str, grpc.aio.Channel]) -> None:
    """An account as a text and no expiry, as they were written before there were several and one."""
    file, _, channel = own
    former = {"sha256": token_file.digest("former"), "account": "b", "scopes": ["read"], "created_at": "2025"}
    with file.open("ab") as lines:
        lines.write(orjson.dumps(former))
    assert await outcome(channel, bearer("former"), named("b")) == "OK"
