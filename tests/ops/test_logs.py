"""Log lines: an allow-list of facts, and no text of the driver."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from select import PIPE_BUF

import pytest
from pymongo.errors import DuplicateKeyError

from service.ops.logs import ConsoleFormatter, JsonFormatter, LineWriter

SECRET = "ann@example.com"


def record(error: BaseException | None = None, **facts: object) -> logging.LogRecord:
    caught = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("service.x", logging.INFO, "f", 1, "call", (), caught)
    made.__dict__.update(facts)
    return made


@pytest.mark.parametrize("formatter", [ConsoleFormatter(), JsonFormatter()])
def test_only_known_facts_are_written(formatter: logging.Formatter) -> None:
    """A field that is not on the list is left out, whoever passes it."""
    line = formatter.format(record(method="GetContact", email=SECRET))
    assert "GetContact" in line
    assert SECRET not in line


def test_json_lines_are_objects() -> None:
    """Each line parses, with time, level, event and the facts."""
    line = json.loads(JsonFormatter().format(record(code="OK", milliseconds=1.5)))
    assert line["event"] == "call"
    assert line["level"] == "INFO"
    assert (line["code"], line["milliseconds"]) == ("OK", 1.5)
    assert line["time"].endswith("Z")


@pytest.mark.parametrize("formatter", [ConsoleFormatter(), JsonFormatter()])
def test_a_driver_error_is_logged_without_its_text(formatter: logging.Formatter) -> None:
    """E11000 quotes the fingerprint; the log has frames, class and code, also for a cause."""
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("a bug") from DuplicateKeyError(f"E11000 dup key: {SECRET}", 11000)
    line = formatter.format(record(caught.value))
    assert SECRET not in line
    assert "DuplicateKeyError" in line
    assert "11000" in line
    assert "RuntimeError: a bug" in line
    assert "test_a_driver_error_is_logged_without_its_text" in line


@pytest.mark.parametrize("wrong", [int, {}.__getitem__, [].index, json.loads])
def test_an_error_that_quotes_a_value_is_logged_without_its_text(wrong: Callable[[str], object]) -> None:
    """What was looked up or could not be read may be somebody's address; class and frames tell where."""
    with pytest.raises((LookupError, ValueError)) as caught:
        wrong(SECRET)
    line = ConsoleFormatter().format(record(caught.value))
    assert SECRET not in line
    assert type(caught.value).__name__ in line


class Recorder(io.StringIO):
    """A stream that keeps what is written at once and tells of it."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.written = threading.Event()

    def write(self, text: str) -> int:
        self.pieces.append(text)
        count = super().write(text)
        self.written.set()
        return count


def test_lines_are_written_together_after_a_moment() -> None:
    """A thousand lines are one write, a moment later, in their order."""
    stream = Recorder()
    writer = LineWriter(stream)
    for number in range(1000):
        writer.handle(logging.LogRecord("service.x", logging.INFO, "f", 1, str(number), (), None))
    assert stream.written.wait(10)
    writer.flush()
    assert stream.getvalue().split() == [str(number) for number in range(1000)]
    assert len(stream.pieces) <= 3


def test_no_write_cuts_a_line() -> None:
    """What is gathered is written in pieces of whole lines that a pipe takes at once: lines of two processes
    on one pipe never mix, unless one alone is longer.
    """
    stream = Recorder()
    writer = LineWriter(stream)
    lines = [str(number).rjust(300, "ä") for number in range(100)]
    for line in [*lines, "x" * 5000]:
        writer.handle(logging.LogRecord("service.x", logging.INFO, "f", 1, line, (), None))
    writer.flush()
    assert stream.getvalue().split() == [*lines, "x" * 5000]
    *pieces, long = stream.pieces
    assert long == "x" * 5000 + "\n"
    assert all(piece.endswith("\n") and len(piece.encode()) <= PIPE_BUF for piece in pieces)


def test_a_line_can_be_made_when_it_is_written() -> None:
    """It stands where it was told, between the lines before and after it, and passes the same filters."""
    stream, made = Recorder(), threading.Event()
    writer = LineWriter(stream)
    writer.addFilter(_doubled)

    def make() -> logging.LogRecord:
        made.set()
        return logging.LogRecord("service.x", logging.INFO, "f", 1, "b", (), None)

    writer.handle(logging.LogRecord("service.x", logging.INFO, "f", 1, "a", (), None))
    writer.emit_later(make)
    assert not made.is_set()
    writer.handle(logging.LogRecord("service.x", logging.WARNING, "f", 1, "c", (), None))
    assert stream.getvalue().split() == ["aa", "bb", "cc"]


def _doubled(record: logging.LogRecord) -> bool:
    record.msg *= 2
    return True


def test_a_warning_is_written_at_once() -> None:
    """With all lines before it: what led to a crash is not in a buffer."""
    stream = Recorder()
    writer = LineWriter(stream)
    for level in (logging.INFO, logging.WARNING):
        writer.handle(logging.LogRecord("service.x", level, "f", 1, str(level), (), None))
    assert stream.getvalue().split() == ["20", "30"]


def test_the_last_lines_are_written_when_the_process_ends() -> None:
    """No line is lost by an orderly end, however soon it comes."""
    code = """
import logging
from service.ops import logs
logs.configure("console", "info")
logging.getLogger("service.x").info("the last line")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the last line" in ended.stderr


def test_lines_of_several_processes_tell_which_wrote_them() -> None:
    """Each line has the pid that was asked for; one that is about another process names that one."""
    program = (
        "from service.ops import logs; import logging; logs.configure('json', 'info', pid=7);"
        "log = logging.getLogger('service.x'); log.info('call'); log.info('ended', extra={'pid': 8})"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert [json.loads(line)["pid"] for line in run.stderr.splitlines()] == [7, 8]
