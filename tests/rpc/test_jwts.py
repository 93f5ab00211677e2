"""JWTs of an issuer: which are taken, for what, and which attacks they withstand."""

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa

from service.domain.limits import KIB
from service.rpc import token_file
from service.rpc.auth import SCOPES
from service.rpc.jwks import Jwks
from service.rpc.jwts import LEEWAY_SECONDS, Jwts, Terms
from tests.rpc.calls import account, bearer, listed, outcome
from tests.rpc.issuer import AUDIENCE, NAME, Issuer, claims_of, issuing
from tests.rpc.serving import serving


@pytest_asyncio.fixture(scope="module")
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as issuer:
        for algorithm in ("PS256", "ES256", "ES384", "EdDSA"):
            issuer.add_key(algorithm, algorithm)
        yield issuer


@pytest_asyncio.fixture(scope="module")
async def channel(mongodb_uri: str, issuer: Issuer) -> AsyncIterator[grpc.aio.Channel]:
    """To a server that takes the JWTs of the issuer and nothing else."""
    async with serving(mongodb_uri, **issuer.flags) as (_, channel):
        assert await outcome(channel, bearer(issuer.token())) == "OK"
        yield channel


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("kid", ["rsa", "PS256", "ES256", "ES384", "EdDSA"])
async def test_a_signed_token_is_taken(channel: grpc.aio.Channel, issuer: Issuer, kid: str) -> None:
    """With each algorithm of the list, and again when it is known."""
    token = issuer.token(kid)
    for _ in range(2):
        assert await outcome(channel, bearer(token)) == "OK"


@pytest.mark.parametrize(
    ("claims", "metadata", "expected"),
    [
        ({"account": "a"}, [account("a")], "OK"),
        ({"account": "a"}, [account("b")], "ACCOUNT_NOT_ALLOWED"),
        ({"account": ["a", "b"]}, [account("b")], "OK"),
        ({"account": ["a", "b"]}, [account("c")], "ACCOUNT_NOT_ALLOWED"),
        ({"account": ["a", "b"]}, [], "ACCOUNT_NOT_ALLOWED"),
        ({"account": ["a"]}, [], "OK"),
        ({"account": "*"}, [account("z")], "OK"),
        ({"account": "*"}, [], "ACCOUNT_NOT_ALLOWED"),
        ({"account": None}, [account("a")], "ACCOUNT_NOT_ALLOWED"),
        ({"account": {"a": 1}}, [account("a")], "ACCOUNT_NOT_ALLOWED"),
        ({"account": ["a b", 7]}, [account("a b")], "ACCOUNT_NOT_ALLOWED"),
        ({"scope": "write read"}, [], "OK"),
        ({"scope": ["read"]}, [], "OK"),
        ({"scope": "openid profile read"}, [], "OK"),
        ({"scope": "write"}, [], "SCOPE_MISSING"),
        ({"scope": "reads contacts:read"}, [], "SCOPE_MISSING"),
        ({"scope": None}, [], "SCOPE_MISSING"),
        ({"scope": {"read": True}}, [], "SCOPE_MISSING"),
        ({"aud": [AUDIENCE, "another"]}, [], "OK"),
        ({"nbf": int(time.time()) - 60, "iat": int(time.time()) - 60}, [], "OK"),
    ],
)
async def test_claims_say_what_a_token_may(
    channel: grpc.aio.Channel,
    issuer: Issuer,
    claims: dict[str, Any],
    metadata: list[tuple[str, str]],
    expected: str,
) -> None:
    """Accounts as a text, a list or '*'; scopes as a list or a text, of which only ours count."""
    assert await outcome(channel, bearer(issuer.token(**claims)), *metadata) == expected


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://another.example"},
        {"iss": None},
        {"iss": [NAME]},
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"sub": None},
        {"sub": 7},
        {"exp": None},
        {"exp": int(time.time()) - LEEWAY_SECONDS - 1},
        {"exp": "soon"},
        {"exp": {}},
        {"nbf": int(time.time()) + 600},
        {"iat": int(time.time()) + 600},
    ],
    ids=str,
)
async def test_a_claim_that_is_wrong_or_missing(
    channel: grpc.aio.Channel, issuer: Issuer, claims: dict[str, Any]
) -> None:
    """CREDENTIALS_INVALID, in the words of every other token that is not good."""
    answer = await listed(channel, bearer(forged(issuer, claims)))
    unknown = await listed(channel, bearer("unknown"))
    assert answer
    assert (answer.code, answer.reason) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    assert answer == unknown


def forged(issuer: Issuer, claims: dict[str, Any]) -> str:
    """Signed by the issuer's key without the checks that a library makes before it signs."""
    signer = jwt.PyJWS()
    key, algorithm = issuer.keys["rsa"]
    payload = json.dumps(claims_of(**claims)).encode()
    return signer.encode(payload, key, algorithm, headers={"kid": "rsa"})


def attacks(issuer: Issuer) -> dict[str, str]:
    good = issuer.token()
    header, payload, signature = good.split(".")
    stranger = rsa.generate_private_key(65537, 2048)
    public = base64.urlsafe_b64encode(issuer.public_pem()).decode()
    secret = jwt.PyJWS(algorithms=["HS256"])
    # A library refuses to sign with a public key as secret; an attacker's does not.
    hmac = secret.get_algorithm_by_name("HS256").sign
    signed = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{payload}"
    hs256 = base64.urlsafe_b64encode(hmac(signed.encode(), issuer.public_pem())).rstrip(b"=").decode()
    return {
        "alg none": f"{part({'alg': 'none', 'kid': 'rsa'})}.{payload}.",
        "alg None with the signature": f"{part({'alg': 'None', 'kid': 'rsa'})}.{payload}.{signature}",
        "alg is a list": f"{part({'alg': ['RS256'], 'kid': 'rsa'})}.{payload}.{signature}",
        "no alg": f"{part({'kid': 'rsa'})}.{payload}.{signature}",
        "the public key as a secret": f"{signed}.{hs256}",
        "an algorithm that is not allowed": jwt.encode(
            claims_of(), issuer.keys["rsa"][0], "RS512", headers={"kid": "rsa"}
        ),
        "another key": jwt.encode(claims_of(), stranger, "RS256", headers={"kid": "rsa"}),
        "a key of its own": jwt.encode(
            claims_of(), stranger, "RS256", headers={"kid": "rsa", "jku": "http://127.0.0.1:9", "jwk": {}}
        ),
        "the algorithm of another key": jwt.encode(claims_of(), stranger, "RS256", headers={"kid": "ES256"}),
        "no kid": jwt.encode(claims_of(), issuer.keys["rsa"][0], "RS256"),
        "kid is a number": f"{part({'alg': 'RS256', 'kid': 7})}.{payload}.{signature}",
        "another payload": f"{header}.{part(claims_of(account='*'))}.{signature}",
        "no signature": f"{header}.{payload}.",
        "cut": good[:-2],
        "more": good + "AA",
        "critical header": issuer.token(headers={"crit": ["exp"], "exp": 1}),
        "no JSON": f"{base64.urlsafe_b64encode(b'{').decode()}.{payload}.{signature}",
        "deep JSON": f"{base64.urlsafe_b64encode(b'[' * 3000).decode()}.{payload}.{signature}",
        "only dots": "..",
        "the key itself": f"..{public}"[:2000],
    }


ATTACKS = (
    *("alg none", "alg None with the signature", "alg is a list", "no alg", "the public key as a secret"),
    *("an algorithm that is not allowed", "another key", "a key of its own", "the algorithm of another key"),
    *("no kid", "kid is a number", "another payload", "no signature", "cut", "more", "critical header"),
    *("no JSON", "deep JSON", "only dots", "the key itself"),
)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_forged_token_is_refused(channel: grpc.aio.Channel, issuer: Issuer, attack: str) -> None:
    """CREDENTIALS_INVALID for each way to make a token without the issuer's key; no key is asked for."""
    fetches = issuer.fetches
    assert await outcome(channel, bearer(attacks(issuer)[attack])) == "CREDENTIALS_INVALID"
    assert issuer.fetches == fetches
    assert await outcome(channel, bearer(issuer.token())) == "OK"


def test_every_attack_is_tried() -> None:
    """The list of names and the attacks are the same."""
    assert attacks(Issuer()).keys() == set(ATTACKS)


async def test_a_huge_token_is_refused_unread(channel: grpc.aio.Channel, issuer: Issuer) -> None:
    """More than 8 KiB are no token of ours, even when it is signed."""
    huge = issuer.token(padding="x" * 7 * KIB)
    assert 8 * KIB < len(huge) < 12 * KIB
    assert await outcome(channel, bearer(huge)) == "CREDENTIALS_INVALID"


async def test_both_kinds_of_tokens_are_taken(
    mongodb_uri: str, issuer: Issuer, tokens: Any, any_token: str
) -> None:
    """With a token file and an issuer, each token is judged by its own."""
    async with serving(mongodb_uri, tokens=tokens, **issuer.flags) as (_, channel):
        one = token_file.add(tokens, "a", SCOPES)
        for token in (one, issuer.token()):
            assert await outcome(channel, bearer(token)) == "OK"
        assert await outcome(channel, bearer(any_token), account("z")) == "OK"
        for token in ("unknown", one + ".x.y", issuer.token() + "x"):
            assert await outcome(channel, bearer(token)) == "CREDENTIALS_INVALID"


async def test_names_of_claims_and_algorithms_are_settings(mongodb_uri: str, issuer: Issuer) -> None:
    """Claims by any name, dots and slashes included; an algorithm that is not listed is none."""
    flags = {
        "jwt_account_claim": "https://example.com/tenant",
        "jwt_scopes_claim": "roles",
        "jwt_algorithms": "ES256",
    }
    claims = {"https://example.com/tenant": "a", "roles": ["read"], "account": None, "scope": None}
    async with serving(mongodb_uri, **issuer.flags, **flags) as (_, channel):
        assert await outcome(channel, bearer(issuer.token("ES256", **claims))) == "OK"
        assert await outcome(channel, bearer(issuer.token("rsa", **claims))) == "CREDENTIALS_INVALID"


async def judge(issuer: Issuer, verified: int = 100) -> Jwts:
    """What judges tokens of the issuer, its keys already fetched."""
    keys = Jwks(issuer.url)
    fetched = keys.fetched()
    assert fetched
    await fetched()
    return Jwts(Terms(NAME, AUDIENCE, frozenset({"RS256"}), "account", "scope"), keys, verified)


async def test_a_known_token_is_not_verified_again(issuer: Issuer) -> None:
    """It is found by its hash until it expires, and the oldest of too many are forgotten."""
    jwts = await judge(issuer, verified=2)
    tokens = [issuer.token(sub=f"service {number}") for number in range(3)]
    principals = [jwts.principal(token) for token in tokens]
    assert [principal.name for principal in principals if principal] == [f"service {n}" for n in range(3)]
    assert [jwts.principal(token) is principals[n] for n, token in enumerate(tokens) if n] == [True, True]
    assert jwts.principal(tokens[0]) is not principals[0]
    assert len(jwts._verified) == 2


async def test_a_principal_holds_what_counts_here(issuer: Issuer) -> None:
    """Our scopes and accounts that can be; its name cannot forge lines of the log, nor fill them."""
    jwts = await judge(issuer)
    claims = {"scope": "openid read", "account": ["a", "b c"], "sub": "a\nb\x1b[0m" + "x" * 500}
    principal = jwts.principal(issuer.token(**claims))
    assert principal
    assert principal.scopes == {"read"}
    assert principal.accounts == {"a"}
    assert principal.name == ("a?b?[0m" + "x" * 500)[:128]
