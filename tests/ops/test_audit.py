"""The file of the audit trail, to which several processes append."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_it_is_written_again_when_its_folder_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Until then lines are among those of the log, with one complaint. What others open stays theirs."""
    path = tmp_path / "folder" / "audit"
    path.parent.mkdir()
    trail = Trail(path)
    trail.write(lambda: line(1))
    path.parent.rename(tmp_path / "away")
    trail.write(lambda: line(2))
    others = os.pipe()
    trail.write(lambda: line(3))
    path.parent.mkdir()
    trail.write(lambda: line(4))
    trail.close()
    assert [each.message for each in caplog.records] == ["the audit file cannot be written", "audit", "audit"]
    assert (told(tmp_path / "away/audit"), told(path)) == (["1"], ["4"])
    assert os.write(others[1], b"x") == len(os.read(others[0], 2))
    for descriptor in others:
        os.close(descriptor)


def test_a_trail_is_closed_as_often_as_one_likes(tmp_path: Path) -> None:
    """Also while its folder is away: a stop is not the time to fail."""
    path = tmp_path / "folder" / "audit"
    path.parent.mkdir()
    trail = Trail(path)
    path.parent.rename(tmp_path / "away")
    trail.write(lambda: line(1))
    trail.close()
    trail.close()


def test_a_line_that_was_cut_off_takes_no_other_with_it(tmp_path: Path) -> None:
    """A disk that fills up within a line: it stands among the log lines, the next on a line of its own."""
    code = """
import resource, sys
from pathlib import Path
from service.ops import logs
from service.ops.audit import Trail
from service.ops.lines import Line
logs.configure("console", "info")
trail = Trail(Path(sys.argv[1]))
for number, most_bytes in enumerate((100, 100, -1)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, -1))
    trail.write(lambda number=number: Line(0, "audit", {"request_id": str(number)}))
"""
    path = tmp_path / "audit"
    ended = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=30
    )
    first, half, last = path.read_text().splitlines()
    assert [json.loads(each)["request_id"] for each in (first, last)] == ["0", "2"]
    assert len(first) + 1 + len(half) == 100
    assert "the audit file cannot be written" in ended.stderr
    assert "audit request_id=1" in ended.stderr
