"""People to measure with: many, all different, the same in every run; documents of 400 to 600 bytes."""

import random
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, WriteConcern

from contactservice.v1 import contact_pb2
from service.domain import ids
from service.domain.contact import Contact
from service.storage.documents import StoredContact

FIRST_MILLISECOND = 1_767_225_600_000  # 2026-01-01
WRITTEN_AT_ONCE = 5000
FIRST = (
    "Ann",
    "Bela",
    "Chidi",
    "Dilara",
    "Emil",
    "Fatima",
    "Goran",
    "Hana",
    "Iñes",
    "Jürgen",
    "Kenji",
    "Lüde",
)
LAST = ("Adeyemi", "Bianchi", "Chen", "Dvořák", "Eriksen", "Fischer", "García", "Haddad", "Ivanova", "Jansen")
TOWNS = ("Lagos", "Milano", "Suzhou", "Brno", "Bergen", "Köln", "Sevilla", "Beirut", "Varna", "Utrecht")


def fields(number: int, series: str = "person") -> dict[str, Any]:
    """What a caller says of person `number` of a series: the same at every call."""
    chosen = random.Random(f"{series}:{number}")  # noqa: S311 (people, not secrets)
    first, last = chosen.choice(FIRST), chosen.choice(LAST)
    return {
        "fingerprint": f"{series}|{number:09d}",
        "name": f"{first} {last}",
        "email": f"{series}.{number}@example.com",
        "phone": f"+49 30 {number:09d}",
        "metadata": {
            "plan": chosen.choice(("free", "pro", "team")),
            "visits": chosen.randrange(200),
            "town": chosen.choice(TOWNS),
            "newsletter": chosen.random() < 0.5,
            "shop": {"cart": round(chosen.random() * 300, 2), "tags": [chosen.choice(("a", "b")), "web"]},
        },
    }


def message(number: int, series: str = "person") -> contact_pb2.Contact:
    """The same person as a request names them."""
    said = fields(number, series)
    metadata = said.pop("metadata")
    made = contact_pb2.Contact(**said)
    made.metadata.update(metadata)
    return made


def contact_id(account: str, number: int) -> str:
    return ids.lower_bound(account, FIRST_MILLISECOND + number)


def documents(account: str, count: int) -> Iterator[RawBSONDocument]:
    """As the service keeps them, a millisecond apart, oldest first."""
    for number in range(count):
        born = ids.created_at(contact_id(account, number))
        person = Contact(
            id=contact_id(account, number),
            trusted=True,
            updated_at=born + timedelta(seconds=number % 60),
            verified_at=born,
            **fields(number),
        )
        yield RawBSONDocument(StoredContact.of(account, person).document)


def fill(uri: str, database: str, account: str, count: int) -> None:
    """Writes the account's people beside the service; those that are there stay."""
    with MongoClient[RawBSONDocument](uri) as client:
        target = client[database].get_collection("contacts", write_concern=WriteConcern(w=1))
        for batch in _batches(documents(account, count)):
            target.insert_many(batch, ordered=False)
        client.admin.command("fsync")


def copy(uri: str, source: str, target: str, account: str) -> None:
    """The account's documents and all indexes for a peer, in a database of its own."""
    with MongoClient[dict[str, Any]](uri) as client:
        contacts = client[source]["contacts"]
        out = {"$out": {"db": target, "coll": "contacts"}}
        contacts.aggregate([{"$match": {"account": account}}, out])
        for name, index in contacts.index_information().items():
            if name != "_id_":
                keys = [tuple(pair) for pair in index["key"]]
                client[target]["contacts"].create_index(keys, name=name, unique=bool(index.get("unique")))


def _batches(items: Iterable[RawBSONDocument]) -> Iterator[list[RawBSONDocument]]:
    remaining = iter(items)
    while batch := list(islice(remaining, WRITTEN_AT_ONCE)):
        yield batch
