"""Where log lines go: together after a moment, whole, none lost."""

import errno
import io
import json
import logging
import subprocess
import sys
import threading
from functools import partial
from select import PIPE_BUF

from service.ops.lines import Line, LineFormatter
from service.ops.logs import AT_A_STRETCH, LineWriter


def written_to(stream: io.StringIO, *, is_shared: bool = False) -> LineWriter:
    """A writer of what each line tells, and nothing else."""
    return LineWriter(stream, LineFormatter(lambda line, _: line.event), is_shared=is_shared)


class Recorder(io.StringIO):
    """A stream that keeps what is written at once and tells of it."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.full = False
        self.written = threading.Event()

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "no space")
        self.pieces.append(text)
        count = super().write(text)
        self.written.set()
        return count


def test_lines_are_written_together_after_a_moment() -> None:
    """In their order and some at a time: while others are made, a call would wait for the interpreter."""
    stream = Recorder()
    writer, count = written_to(stream), 4 * AT_A_STRETCH
    for number in range(count):
        writer.emit_later(partial(Line, 0, str(number), {}))
    while len(stream.getvalue().split()) < count:
        assert stream.written.wait(10)
        stream.written.clear()
    assert stream.getvalue().split() == [str(number) for number in range(count)]
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
        writer.handle(logging.LogRecord("service.x", logging.INFO, "f", 1, line, (), None))
    writer.flush()
    assert stream.getvalue().split() == [*lines, "x" * 5000]
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

    writer.handle(logging.LogRecord("service.x", logging.INFO, "f", 1, "a", (), None))
    writer.emit_later(make)
    assert not made.is_set()
    writer.handle(logging.LogRecord("service.x", logging.WARNING, "f", 1, "c", (), None))
    assert stream.getvalue().split() == ["a", "b", "c"]


def test_a_stream_that_takes_nothing_stops_nobody() -> None:
    """What it does not take is lost; nobody who tells something hears of it, and later lines are written."""
    stream = Recorder()
    writer = written_to(stream)
    stream.full = True
    for level in (logging.INFO, logging.WARNING):
        writer.handle(logging.LogRecord("service.x", level, "f", 1, "lost", (), None))
    stream.full = False
    writer.handle(logging.LogRecord("service.x", logging.INFO, "f", 1, "kept", (), None))
    assert stream.written.wait(10)
    assert stream.getvalue().split() == ["kept"]


def test_a_warning_is_written_at_once() -> None:
    """With all lines before it: what led to a crash is not in a buffer."""
    stream = Recorder()
    writer = written_to(stream)
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
