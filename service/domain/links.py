"""Links: which rows of other services a deletion reaches, as an operator's TOML file says it.

Pure: from the file's text to checked links. Every sentence names the table (counted from 1) and the key.
"""

import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_KEYS: Final = ("collection", "account_field", "contact_field", "action")


class Action(StrEnum):
    """What a deletion does about rows that name the contact: remove them, clear the field, or not happen."""

    CASCADE = "CASCADE"
    UNLINK = "UNLINK"
    RESTRICT = "RESTRICT"


@dataclass(frozen=True, slots=True)
class Link:
    """Rows of `collection` whose `contact_field` is, or lists, a contact's id. Fields may be dotted."""

    collection: str
    account_field: str
    contact_field: str
    action: Action


class LinksInvalid(Exception):
    """The file is wrong; one sentence says where."""


def parsed(text: str, own_collections: Collection[str]) -> tuple[Link, ...]:
    """The links in the order of the file, which is the order of the work; raises LinksInvalid."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LinksInvalid(f"is no TOML: {error}") from error
    tables = content.pop("linked", None)
    if content:
        raise LinksInvalid(f"unknown key {next(iter(content))}; only [[linked]] tables are read")
    if not isinstance(tables, list) or not tables:
        raise LinksInvalid("has no [[linked]] table")
    links = tuple(_link(table, number, own_collections) for number, table in enumerate(tables, 1))
    _check_distinct(links)
    return links


def _link(table: Any, number: int, own_collections: Collection[str]) -> Link:
    for key, rule in _violations(table, own_collections):
        raise _invalid(number, key, rule)
    return Link(table["collection"], table["account_field"], table["contact_field"], Action(table["action"]))


def _violations(table: Any, own_collections: Collection[str]) -> Iterator[tuple[str, str]]:
    if not isinstance(table, dict):
        yield "collection", "expected a table of keys"
        return
    yield from ((key, f"unknown key, known are {', '.join(_KEYS)}") for key in table if key not in _KEYS)
    yield from ((key, "missing") for key in _KEYS if key not in table)
    yield from ((key, "expected a text") for key in _KEYS if not isinstance(table[key], str))
    if rule := _broken_by_collection(table["collection"], own_collections):
        yield "collection", rule
    for key in ("account_field", "contact_field"):
        if rule := _broken_by_field(table[key]):
            yield key, rule
    if table["action"] not in tuple(Action):
        yield "action", f"expected {', '.join(Action)}"
    if _overlap(table["account_field"], table["contact_field"]):
        yield "contact_field", "is, holds or lies in account_field"
    if table["action"] == Action.UNLINK and table["contact_field"].split(".")[0] == "_id":
        yield "contact_field", "UNLINK cannot clear _id"


def _broken_by_collection(name: str, own_collections: Collection[str]) -> str:
    if not name or "$" in name or "\0" in name or name.startswith(("system.", ".")) or name.endswith("."):
        return "no name of a collection"
    return "belongs to this service" if name in own_collections else ""


def _broken_by_field(path: str) -> str:
    parts = path.split(".")
    if any(not part or part.startswith("$") or "\0" in part for part in parts):
        return "expected names joined by dots, none empty, none that begins with $"
    # `rows.0.contact` means an element to a query, and a key to an update.
    return "no part may be a number" if any(part.isdecimal() for part in parts) else ""


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _check_distinct(links: tuple[Link, ...]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for number, link in enumerate(links, 1):
        first = seen.setdefault((link.collection, link.contact_field), number)
        if first != number:
            raise _invalid(number, "contact_field", f"the same collection and field as in table {first}")


def _invalid(number: int, key: str, rule: str) -> LinksInvalid:
    return LinksInvalid(f"[[linked]] table {number}, {key}: {rule}")
