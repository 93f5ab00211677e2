"""Who is one person: normal forms and the fingerprints that the service derives or draws.

These bytes are for ever: a change splits people into two records. The golden vectors in the tests hold them.
"""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterable

from service.domain.contact import Draft
from service.domain.errors import NoIdentity, Violation

_IDENTIFYING = ("name", "email", "phone", "nickname")
_PHONE_NOISE = str.maketrans("", "", " \t-._()/")
_SIGNS = b"abcdefghijklmnopqrstuvwxyz234567" * 8
_RESERVED = re.compile(r"[drq][0-9]+:")
_GIVEN_OUT = re.compile(r"[dq]1:[a-z2-7]{52}|r1:[a-z2-7]{32}")


def normal_text(text: str) -> str:
    """NFKC, casefold, NFKC, strip."""
    if text.isascii():
        return text.lower().strip()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


def normal_name(name: str) -> str:
    return " ".join(normal_text(name).split())


def normal_phone(phone: str) -> str:
    digits = normal_text(phone).translate(_PHONE_NOISE)
    return "+" + digits[2:] if digits.startswith("00") else digits


_NORMAL = {"name": normal_name, "email": normal_text, "phone": normal_phone, "nickname": normal_text}


def derived_fingerprint(account: str, draft: Draft) -> str:
    """`d1:` and the hash of the normalised name, email, phone and nickname; raises NoIdentity without any."""
    values = [(label, _NORMAL[label](getattr(draft, label))) for label in _IDENTIFYING]
    if not any(value for _, value in values):
        rule = "one of fingerprint, name, email, phone and nickname is needed to know a person by"
        raise NoIdentity(Violation("contact", rule))
    return "d1:" + _digest([("account", account), *values])


def request_fingerprint(account: str, request_id: str) -> str:
    """`q1:` and the hash of the request id: a retry of CreateContact meets the contact of the first call."""
    return "q1:" + _digest([("account", account), ("request_id", request_id)])


def random_fingerprint(random: bytes) -> str:
    """`r1:` and a character for each byte of the caller's randomness, which gives 5 of its 8 bits."""
    return "r1:" + random.translate(_SIGNS).decode()


def is_reserved(fingerprint: str) -> bool:
    """True for texts that only the service itself may give out."""
    return _RESERVED.match(fingerprint) is not None


def is_given_out(fingerprint: str) -> bool:
    """True for texts that the service may have given out: of the kinds and lengths that it makes."""
    return _GIVEN_OUT.fullmatch(fingerprint) is not None


def _digest(parts: Iterable[tuple[str, str]]) -> str:
    hashed = hashlib.sha256()
    for label, value in parts:
        encoded = value.encode()
        hashed.update(f"{label}:{len(encoded)}:".encode() + encoded)
    return _base32(hashed.digest())


def _base32(value: bytes) -> str:
    return base64.b32encode(value).decode().rstrip("=").lower()
