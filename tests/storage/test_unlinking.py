"""Unlinking: wherever a query finds the id in a row, the update takes it out and leaves all else."""

from typing import Any

import pytest

from service.storage.unlinking import without
from tests.storage.conftest import Stored

ID = "ct_CONTACT"
OTHER = "ct_OTHER"

SHAPES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("who", {"who": ID, "text": "x"}, {"text": "x"}),
    ("who", {"who": [ID, OTHER, ID], "text": "x"}, {"who": [OTHER], "text": "x"}),
    ("who", {"who": [ID]}, {"who": []}),
    ("who", {"who": [ID, 7, None, {"who": ID}]}, {"who": [7, None, {"who": ID}]}),
    ("a.who", {"a": {"who": ID, "b": 1}}, {"a": {"b": 1}}),
    ("a.who", {"a": {"who": [OTHER, ID], "b": [ID]}}, {"a": {"who": [OTHER], "b": [ID]}}),
    ("a.who", {"a": [{"who": ID, "b": 1}, {"b": 2}, 3, None]}, {"a": [{"b": 1}, {"b": 2}, 3, None]}),
    ("a.who", {"a": [{"who": [ID, OTHER]}, {"who": OTHER}]}, {"a": [{"who": [OTHER]}, {"who": OTHER}]}),
    ("a.b.who", {"a": {"b": {"who": ID}}, "c": ID}, {"a": {"b": {}}, "c": ID}),
    ("a.b.who", {"a": [{"b": [{"who": ID}]}, {"c": 1}]}, {"a": [{"b": [{}]}, {"c": 1}]}),
    ("a.b.who", {"a": {"b": [{"who": ID}, {"c": {}}]}}, {"a": {"b": [{}, {"c": {}}]}}),
    ("a.b.c.who", {"a": {"b": {"c": {"who": ID, "x": 1}}}}, {"a": {"b": {"c": {"x": 1}}}}),
    ("who", {"who": ID, "at": {"$date": 1}}, {"at": {"$date": 1}}),
]


@pytest.mark.parametrize(("path", "row", "kept"), SHAPES)
async def test_the_id_goes_and_all_else_stays(
    stored: Stored, path: str, row: dict[str, Any], kept: dict[str, Any]
) -> None:
    """A scalar goes with its key, a list loses the id, through objects and lists of objects."""
    rows = stored.database["rows"]
    await rows.insert_one({"_id": 1} | row)
    named = {path: ID}
    assert await rows.count_documents(named) == 1
    assert (await rows.update_many(named, without(path, ID))).modified_count == 1
    assert await rows.find_one({"_id": 1}) == {"_id": 1} | kept
    assert await rows.count_documents(named) == 0
