"""An issuer of JWTs: signs them, and serves its public keys over HTTP on loopback, or fails to."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

NAME = "https://issuer.example"
AUDIENCE = "contactservice"


class Issuer:
    """`keys` are what it publishes, unless `answer` is given; `fetches` counts how often it was asked."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[Any, str]] = {"rsa": (_rsa_key(), "RS256")}
        self.fetches = 0
        self.answer: dict[str, Any] | None = None
        self.url = ""

    @property
    def flags(self) -> dict[str, str]:
        return {"jwt_issuer": NAME, "jwt_audience": AUDIENCE, "jwt_jwks_url": self.url}

    def add_key(self, kid: str, algorithm: str = "RS256") -> None:
        key = {
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }.get(algorithm, _rsa_key)()
        self.keys[kid] = (key, algorithm)

    def token(self, kid: str = "rsa", headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A good token, but for the claims that are given; those given as None are left out."""
        key, algorithm = self.keys[kid]
        named = claims_of(**claims)
        return jwt.encode(named, key, algorithm, headers={"kid": kid, **(headers or {})})

    def public_pem(self, kid: str = "rsa") -> bytes:
        pem = self.keys[kid][0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return bytes(pem)

    def jwks(self) -> dict[str, Any]:
        return {"keys": [_jwk(kid, key, algorithm) for kid, (key, algorithm) in self.keys.items()]}

    async def serve(self, _: web.Request) -> web.Response:
        self.fetches += 1
        return web.json_response(self.jwks()) if self.answer is None else web.Response(**self.answer)


@asynccontextmanager
async def served_by(answer: Any) -> AsyncIterator[str]:
    """Serves this answer at a URL until the block ends."""
    application = web.Application()
    application.router.add_get("/jwks", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """An issuer whose keys can be fetched until the block ends."""
    issuer = Issuer()
    async with served_by(issuer.serve) as issuer.url:
        yield issuer


def claims_of(**claims: Any) -> dict[str, Any]:
    good = {
        "iss": NAME,
        "aud": AUDIENCE,
        "sub": "billing",
        "exp": int(time.time()) + 600,
        "account": "a",
        "scope": "read write",
    }
    return {name: value for name, value in (good | claims).items() if value is not None}


def _jwk(kid: str, key: Any, algorithm: str) -> dict[str, Any]:
    public: Any = get_default_algorithms()[algorithm]
    return {**json.loads(public.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)
