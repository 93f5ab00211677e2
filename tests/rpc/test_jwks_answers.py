"""Answers of an issuer that are not what they should be: no keys, elsewhere, without an end."""

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from aiohttp import web

from service.domain.limits import KIB
from service.ops import reloads
from tests.rpc.calls import bearer, outcome
from tests.rpc.issuer import Issuer, served_by
from tests.rpc.test_jwks import channel, issuer, pause_over, server

__all__ = ["channel", "issuer", "pause_over", "server"]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 204},
        {"body": b"<html>"},
        {"body": b'{"keys": []}'},
    ],
    ids=["empty", "no JSON", "no keys"],
)
async def test_an_answer_that_is_no_set_of_keys(
    channel: grpc.aio.Channel, issuer: Issuer, answer: dict[str, Any], pause_over: Callable[[], None]
) -> None:
    """Is counted as a failure, and no token of a new key is taken."""
    issuer.add_key("new")
    issuer.answer = answer
    failures = reloads.failures["jwks"]
    pause_over()
    assert await outcome(channel, bearer(issuer.token("new"))) == "CREDENTIALS_INVALID"
    assert reloads.failures["jwks"] == failures + 1
    assert issuer.fetches == 2


async def test_a_redirect_is_not_followed(
    channel: grpc.aio.Channel, issuer: Issuer, pause_over: Callable[[], None]
) -> None:
    """It could lead away from TLS, to keys of anybody."""
    issuer.add_key("new")

    async def elsewhere(_: web.Request) -> web.Response:
        return web.json_response(issuer.jwks())

    async with served_by(elsewhere) as url:
        issuer.answer = {"status": 302, "headers": {"location": url}}
        pause_over()
        assert await outcome(channel, bearer(issuer.token("new"))) == "CREDENTIALS_INVALID"
    assert issuer.fetches == 2


async def test_an_answer_without_an_end_is_not_read_on(
    channel: grpc.aio.Channel, issuer: Issuer, pause_over: Callable[[], None]
) -> None:
    """More than 256 KiB are no set of keys, whatever they hold."""
    issuer.add_key("new")
    keys = json.dumps(issuer.jwks()).encode()
    issuer.answer = {"body": keys + b" " * 256 * KIB}
    pause_over()
    assert await outcome(channel, bearer(issuer.token("new"))) == "CREDENTIALS_INVALID"
    assert issuer.fetches == 2
