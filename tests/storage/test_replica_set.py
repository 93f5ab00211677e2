"""The replica set of three that other tests stand on: it elects, and ends as quickly as it starts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.replica_set import ReplicaSet


@pytest.fixture
def three(tmp_path: Path) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path) as replica_set:
        yield replica_set


def test_three_survive_the_loss_of_their_primary(three: ReplicaSet) -> None:
    """A set of three elects another primary after a kill and after a step-down, and keeps every write."""
    with MongoClient[dict[str, Any]](three.uri, w="majority") as client:
        notes = client.test.notes
        notes.insert_one({"_id": 1})
        first = three.primary()
        three.kill(first)
        notes.insert_one({"_id": 2})
        second = three.primary()
        three.restart(first)
        third = three.step_down()
        notes.insert_one({"_id": 3})
        assert [note["_id"] for note in notes.find(sort=[("_id", 1)])] == [1, 2, 3]
    assert first != second != third


def test_a_secondary_ends_as_quickly_as_a_primary(three: ReplicaSet) -> None:
    """A mongod that is not primary, as each is for a moment while it starts, ends within two seconds."""
    secondary = next(member for member in three.children if member != three.primary())
    three.children[secondary].terminate()
    three.children[secondary].wait(timeout=2)
