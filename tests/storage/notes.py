"""Notes in an own mongod: written, read back, and waited for."""

import time
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient

from service.storage.mongod import EmbeddedMongod


def connected(mongod: EmbeddedMongod) -> MongoClient[dict[str, Any]]:
    return MongoClient(mongod.uri, w="majority")


def write(mongod: EmbeddedMongod, text: str) -> None:
    with connected(mongod) as client:
        client.test.notes.insert_one({"text": text})


def texts(mongod: EmbeddedMongod) -> list[str]:
    with connected(mongod) as client:
        return [note["text"] for note in client.test.notes.find(sort=[("_id", 1)])]


def becomes(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
