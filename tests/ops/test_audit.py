"""The file of the audit trail, to which several processes append."""

import json
from pathlib import Path

from service.ops.audit import Trail
from service.ops.lines import Line


def line(number: int) -> Line:
    return Line(0, "audit", {"request_id": str(number)})


def told(path: Path) -> list[str]:
    return [json.loads(each)["request_id"] for each in path.read_text().splitlines()]


def test_workers_append_to_one_file(tmp_path: Path) -> None:
    """Whole lines, in the order of their writing, and nobody begins the file anew."""
    path = tmp_path / "audit"
    path.write_text(json.dumps({"request_id": "before"}) + "\n")
    trails = Trail(path), Trail(path)
    for number in range(100):
        trails[number % 2].write(lambda number=number: line(number))  # type: ignore[misc]
    assert told(path) == ["before", *map(str, range(100))]


def test_all_of_them_follow_when_it_is_moved_away(tmp_path: Path) -> None:
    """The first one to write makes the new file, the others join."""
    path = tmp_path / "audit"
    one, other = Trail(path), Trail(path)
    one.write(lambda: line(1))
    path.rename(tmp_path / "audit.1")
    other.write(lambda: line(2))
    one.write(lambda: line(3))
    assert told(tmp_path / "audit.1") == ["1"]
    assert told(path) == ["2", "3"]
