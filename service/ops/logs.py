"""Where log lines go and when: to one stream, gathered for a moment and then written together."""

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from select import PIPE_BUF
from typing import Protocol, TextIO, TypeAlias

from service.native import compiled
from service.ops.lines import Line, LineFormatter, as_json, console, unmade
from service.ops.whole_lines import WholeLines

MOMENT_SECONDS = 0.1
# Lines that are made and written at a stretch, and the pause behind them. Their making holds the interpreter,
# some 2 us a line, and 10 in Python: calls wait meanwhile. But each time it changes hands calls wait, too:
# with 128 lines at a stretch instead of 1,024 there is a twelfth less of 9,800 gets a second.
AT_A_STRETCH = 1024 if compiled else 128
_PAUSE_SECONDS = 0.0002
_PIECE_BYTES = 1 << 20
# Lines that may wait: five seconds of a busy process, 20 MB of calls.
MOST_LINES = 50_000
# For what is left when the process ends.
PARTING_SECONDS = 2.0
LOST = "log lines were lost"
# Half a surrogate pair has no UTF-8.
_ERRORS = "backslashreplace"

MakeLine: TypeAlias = Callable[[], Line]


class Stream(Protocol):
    """Takes whole lines, or raises OSError or ValueError."""

    def write(self, lines: bytes, /) -> object: ...


class LineWriter(logging.Handler):
    """Gathers lines for a moment and writes them together: at a thousand calls a second, a write for each
    line takes longer than what the line tells of, and its making in between a quarter as long.

    A warning is written at once, with all that was gathered before it; so is the rest when the process ends.
    A thread of its own writes, and only the end of a process waits for it: a stream that nobody reads holds
    up no call. Lines that it does not take, or for which there is no room, are lost and counted; when it
    takes lines again, it is told how many. What is shared with other processes is written in pieces that do
    not cut through lines of theirs.
    """

    def __init__(self, stream: Stream, formatter: LineFormatter, *, is_shared: bool = False) -> None:
        super().__init__()
        self._most = PIPE_BUF if is_shared else _PIECE_BYTES
        self.setFormatter(formatter)
        self._text = formatter.text
        self._stream = stream
        self._lines: deque[str | MakeLine] = deque()
        # Lines for which there was no room, which the stream did not take, and of which it was told.
        self._overflown = self._refused = self._told = 0
        self._due = threading.Event()
        self._hurried = threading.Event()
        self._flushes: deque[threading.Event] = deque()
        threading.Thread(target=self._write_when_due, name="log lines", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """A line of the record, whatever that holds; nothing is raised."""
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 (who tells of a failure must not fail by that)
            line = self._text(Line.instead_of(record, error))
        self._add(line)
        if record.levelno >= logging.WARNING:
            self._hurried.set()

    def emit_later(self, make: MakeLine) -> None:
        """A line that is made when it is written."""
        self._add(make)

    def flush(self) -> None:
        """Returns when all is written that was there, or when the stream takes too long."""
        written = threading.Event()
        self._flushes.append(written)
        self._hurried.set()
        self._due.set()
        written.wait(PARTING_SECONDS)

    def _add(self, line: str | MakeLine) -> None:
        if len(self._lines) >= MOST_LINES:
            self._overflown += 1
            return
        self._lines.append(line)
        if not self._due.is_set():
            self._due.set()

    def _write_when_due(self) -> None:
        while self._due.wait():
            self._hurried.wait(MOMENT_SECONDS)
            self._hurried.clear()
            self._due.clear()
            flushes = [self._flushes.popleft() for _ in range(len(self._flushes))]
            while self._lines:
                self._write()
                time.sleep(_PAUSE_SECONDS)
            for written in flushes:
                written.set()

    def _write(self) -> None:
        self._tell_of_losses()
        lines = [self._lines.popleft() for _ in range(min(AT_A_STRETCH, len(self._lines)))]
        for piece in _pieces(map(self._made, lines), self._most):
            if not self._is_taken(piece):
                self._refused += len(piece)

    def _tell_of_losses(self) -> None:
        lost = self._overflown + self._refused
        facts = {"count": lost - self._told}
        if lost > self._told and self._is_taken([self._text(Line(time.time(), LOST, facts, "WARNING"))]):
            self._told = lost

    def _made(self, line: str | MakeLine) -> str:
        if isinstance(line, str):
            return line
        try:
            return self._text(line())
        except Exception as error:  # noqa: BLE001 (it would be the last line of all)
            return self._text(Line(time.time(), "a line", unmade(error), "ERROR"))

    def _is_taken(self, piece: list[str]) -> bool:
        try:
            self._stream.write("\n".join([*piece, ""]).encode(errors=_ERRORS))
        except (OSError, ValueError):
            return False
        return True


def _pieces(lines: Iterable[str], most_bytes: int) -> Iterator[list[str]]:
    # Of whole lines. A pipe takes PIPE_BUF bytes at once, or nothing.
    piece: list[str] = []
    size = 0
    for line in lines:
        length = (len(line) if line.isascii() else len(line.encode(errors=_ERRORS))) + 1
        if size + length > most_bytes and piece:
            yield piece
            piece, size = [], 0
        piece.append(line)
        size += length
    if piece:
        yield piece


_writer: LineWriter | None = None


def configure(style: str, level: str, pid: int | None = None) -> None:
    """Everything to stderr, as `console` or `json`. Libraries speak from WARNING on, without their texts.

    With a pid, every line has it: several processes write to one stream.
    """
    # Not in any line of ours, and a third of what a record costs.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    global _writer  # noqa: PLW0603 (as the handlers of logging are)
    formatter = LineFormatter(as_json if style == "json" else console, pid)
    handler = _writer = LineWriter(_stderr(), formatter, is_shared=pid is not None)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("service").setLevel(level.upper())
    # gRPC calls it an error when the client of a call has gone; the call's own line says so.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    # PyMongo's own log lines hold commands, and so people.
    logging.getLogger("pymongo").setLevel(logging.CRITICAL)


def _stderr() -> WholeLines:
    # A descriptor of ours: who ends while somebody writes must not wait for the locks of sys.stderr, and who
    # closes that must not have another file of the service written to. Without one it is None.
    stderr: TextIO | None = sys.stderr
    return WholeLines(os.dup(stderr.fileno()) if stderr else os.open(os.devnull, os.O_WRONLY))


def tell_later(logger: logging.Logger, make: MakeLine) -> None:
    """A line of INFO for which a busy caller has no time now: it is made when it is written."""
    if _writer is None:
        logger.handle(_record(logger.name, make()))
    else:
        _writer.emit_later(make)


def _record(name: str, line: Line) -> logging.LogRecord:
    made = {"name": name, "msg": line.event, "levelno": logging.INFO, "levelname": line.level}
    return logging.makeLogRecord({**line.facts, **made, "created": line.moment})
