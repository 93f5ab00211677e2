"""Terms: 64-bit hashes under which a contact is found. They may collide, so every hit is checked again.

A contact has one for each metadata path, each scalar under a path (also inside a list there), its email and
phone in normal form, its class and whether it is verified. The account is part of each: no term is shared.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from service.domain import identity
from service.domain.contact import Contact

# A test narrows this to 4 to show that collisions change nothing but speed.
BITS = 64

Path = tuple[str, ...]


def of_contact(account: str, contact: Contact) -> list[int]:
    """All terms of a contact, each once, in no order of meaning."""
    found = {of_flag(account, "trusted", contact.trusted)}
    found.add(of_flag(account, "verified", contact.verified_at is not None))
    if email := identity.normal_text(contact.email):
        found.add(of_email(account, email))
    if phone := identity.normal_phone(contact.phone):
        found.add(of_phone(account, phone))
    found.update(_of_members(account, (), contact.metadata))
    return sorted(found)


def of_email(account: str, normal_email: str) -> int:
    return _hash(account, "email", normal_email) >> (64 - BITS)


def of_phone(account: str, normal_phone: str) -> int:
    return _hash(account, "phone", normal_phone) >> (64 - BITS)


def of_flag(account: str, name: str, value: bool) -> int:
    return _repeated_hash(account, name, str(value)) >> (64 - BITS)


def of_path(account: str, path: Path) -> int:
    """The term of a metadata path that exists."""
    return _repeated_hash(account, "path", *path) >> (64 - BITS)


def of_scalar(account: str, path: Path, value: Any) -> int:
    """The term of a scalar under a metadata path, itself or as an element of the list there."""
    return _hash(account, "value", *path, *typed(value)) >> (64 - BITS)


def typed(value: Any) -> tuple[str, str]:
    """A scalar with its type, as text: 1 is neither true nor "1". Whole numbers must be integers."""
    if value is None:
        return "null", ""
    if isinstance(value, bool):
        return "bool", str(value)
    if isinstance(value, str):
        return "text", value
    return "number", repr(value)


def _of_members(account: str, path: Path, members: dict[str, Any]) -> Iterator[int]:
    for key, value in members.items():
        here = (*path, key)
        yield of_path(account, here)
        if isinstance(value, dict):
            yield from _of_members(account, here, value)
        elif isinstance(value, list):
            yield from (of_scalar(account, here, each) for each in value if not isinstance(each, dict | list))
        else:
            yield of_scalar(account, here, value)


def _hash(account: str, kind: str, *parts: str) -> int:
    text = "\0".join([f"{len(part)}:{part}" for part in (account, kind, *parts)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


# Contacts of an account have the same few paths, over and over.
_repeated_hash = lru_cache(maxsize=16384)(_hash)
