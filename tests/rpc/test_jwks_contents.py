"""What counts in a set of keys: public ones, for signatures, by their ids."""

import json
from typing import Any

import pytest

from service.rpc.jwks import JwksInvalid, parsed

RSA = {"kty": "RSA", "kid": "k", "n": "u" * 342, "e": "AQAB"}


@pytest.mark.parametrize(
    "unusable",
    [
        {"kty": "oct", "kid": "s", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "s", "n": "u" * 342},
        {"kty": "RSA", "n": "u" * 342, "e": "AQAB"},
        {**RSA, "kid": 7},
        {**RSA, "kid": "s", "use": "enc"},
        {**RSA, "kid": "s", "alg": "HS256"},
        {"kty": "EC", "kid": "s", "crv": "secp256k1", "x": "eA", "y": "eQ"},
        {"kty": "AKP", "kid": "s"},
        {"kid": "s"},
    ],
    ids=str,
)
def test_keys_that_cannot_be_used_are_skipped(unusable: dict[str, Any]) -> None:
    """Secrets above all: only public keys for signatures count, and the others do no harm to them."""
    assert parsed(json.dumps({"keys": [unusable, RSA]}).encode()).keys() == {"k"}
    with pytest.raises(JwksInvalid):
        parsed(json.dumps({"keys": [unusable]}).encode())


def test_a_key_that_names_its_algorithm_verifies_no_other() -> None:
    """And one that names none verifies all of its kind."""
    [named] = parsed(json.dumps({"keys": [{**RSA, "alg": "RS256"}]}).encode()).values()
    [unnamed] = parsed(json.dumps({"keys": [RSA]}).encode()).values()
    assert named.algorithms == {"RS256"}
    assert unnamed.algorithms == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
