"""Where log lines go: together after a moment, whole, none lost."""

import errno
import json
import logging
import os
import subprocess
import sys
import threading
from functools import partial
from select import PIPE_BUF

import pytest

from service.ops import logs
from service.ops.lines import Facts, Line, LineFormatter
from service.ops.logs import AT_A_STRETCH, LOST, MOST_LINES, LineWriter, Stream
from service.ops.whole_lines import WholeLines
from tests.pipe import full_pipe


def short(line: Line, facts: Facts) -> str:
    return " ".join(str(each) for each in (line.event, *facts.values()))


def written_to(stream: Stream, *, is_shared: bool = False) -> LineWriter:
    """A writer of what each line tells, and nothing else."""
    return LineWriter(stream, LineFormatter(short), is_shared=is_shared)


def record(text: str, level: int = logging.INFO, **facts: object) -> logging.LogRecord:
    made = logging.LogRecord("service.x", level, "f", 1, text, (), None)
    made.__dict__.update(facts)
    return made


class Recorder:
    """A stream that keeps what is written at once and tells of it."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.failure: Exception | None = None
        self.written = threading.Event()

    @property
    def lines(self) -> list[str]:
        return "".join(self.pieces).splitlines()

    def write(self, lines: bytes) -> None:
        if self.failure:
            raise self.failure
        self.pieces.append(lines.decode())
        self.written.set()


class Unspeakable:
    """What cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("ann@example.com")


def test_lines_are_written_together_after_a_moment() -> None:
    """In their order and some at a time: while others are made, a call would wait for the interpreter."""
    stream = Recorder()
    writer, count = written_to(stream), 4 * AT_A_STRETCH
    for number in range(count):
        writer.emit_later(partial(Line, 0, str(number), {}))
    while len(stream.lines) < count:
        assert stream.written.wait(10)
        stream.written.clear()
    assert stream.lines == [str(number) for number in range(count)]
    assert len(stream.pieces) <= 10
    assert max(piece.count("\n") for piece in stream.pieces) <= AT_A_STRETCH


def test_no_write_cuts_a_line() -> None:
    """What is gathered is written in pieces of whole lines that a pipe takes at once: lines of two processes
    on one pipe never mix, unless one alone is longer.
    """
    stream = Recorder()
    writer = written_to(stream, is_shared=True)
    lines = [str(number).rjust(300, "ä") for number in range(100)]
    for line in [*lines, "x" * 5000]:
        writer.handle(record(line))
    writer.flush()
    assert stream.lines == [*lines, "x" * 5000]
    *pieces, long = stream.pieces
    assert long == "x" * 5000 + "\n"
    assert all(piece.endswith("\n") and len(piece.encode()) <= PIPE_BUF for piece in pieces)


def test_a_line_can_be_made_when_it_is_written() -> None:
    """It stands where it was told, between the lines before and after it."""
    stream, made = Recorder(), threading.Event()
    writer = written_to(stream)

    def make() -> Line:
        made.set()
        return Line(0, "b", {})

    writer.handle(record("a"))
    writer.emit_later(make)
    assert not made.is_set()
    writer.handle(record("c"))
    writer.flush()
    assert stream.lines == ["a", "b", "c"]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "no space"), ValueError("closed")])
def test_a_stream_that_takes_nothing_stops_nobody(failure: Exception) -> None:
    """What it does not take is lost; nobody who tells something hears of it. Later lines are written, and
    before them how many are missing.
    """
    stream = Recorder()
    writer = written_to(stream)
    stream.failure = failure
    for level in (logging.INFO, logging.WARNING):
        writer.handle(record("lost", level))
    writer.flush()
    stream.failure = None
    for text in ("kept", "kept, too"):
        writer.handle(record(text))
        writer.flush()
    assert stream.lines == [f"{LOST} 2", "kept", "kept, too"]


def test_a_stream_that_nobody_reads_holds_nobody_up() -> None:
    """Who tells something goes on, also with a warning, and what waits is bounded; when somebody reads again,
    the lines come, and how many are missing.
    """
    count = MOST_LINES + 3 * AT_A_STRETCH
    with full_pipe() as pipe:
        writer = written_to(WholeLines(os.dup(pipe.entrance)))
        for number in range(count):
            writer.emit_later(partial(Line, 0, str(number), {}))
        for level in (logging.INFO, logging.WARNING):
            writer.handle(record("x", level))
        assert len(writer._lines) <= MOST_LINES
        lines = pipe.lines()
        received = lost = 0
        for line in lines:
            if line.startswith(LOST):
                lost += int(line.removeprefix(LOST))
            else:
                received += 1
            if received + lost == count + 2:
                break
        assert lost > AT_A_STRETCH
        writer.handle(record("later"))
        assert next(lines) == "later"


def test_a_warning_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all lines before it: what led to a crash is not in a buffer."""
    monkeypatch.setattr(logs, "MOMENT_SECONDS", 600)
    stream = Recorder()
    writer = written_to(stream)
    for level in (logging.INFO, logging.WARNING):
        writer.handle(record(str(level), level))
    assert stream.written.wait(10)
    assert stream.lines == ["20", "30"]


def test_a_line_that_cannot_be_made_is_told_as_one() -> None:
    """Its event, the facts that do no harm and how it failed. Who tells it goes on, and so does the log."""
    stream = Recorder()
    writer = written_to(stream)
    writer.handle(record("a call failed", method="GetContact", code=Unspeakable()))
    writer.emit_later(lambda: Line(0, "call", {"code": Unspeakable()}))
    writer.handle(record("after"))
    writer.flush()
    why = "the line could not be made: RuntimeError"
    assert stream.lines == [f"a call failed GetContact {why}", f"a line {why}", "after"]


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
