"""Where log lines go and when: to one stream, gathered for a moment and then written together."""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from select import PIPE_BUF
from typing import TextIO, TypeAlias

from service.native import compiled
from service.ops.lines import Line, LineFormatter, as_json, console

MOMENT_SECONDS = 0.1
# Lines that are made and written at a stretch, and the pause behind them. Their making holds the interpreter,
# some 2 us a line, and 10 in Python: calls wait meanwhile. But each time it changes hands calls wait, too:
# with 128 lines at a stretch instead of 1,024 there is a twelfth less of 9,800 gets a second.
AT_A_STRETCH = 1024 if compiled else 128
_PAUSE_SECONDS = 0.0002
_PIECE_BYTES = 1 << 20

MakeLine: TypeAlias = Callable[[], Line]


class LineWriter(logging.Handler):
    """Gathers lines for a moment and writes them together: at a thousand calls a second, a write for each
    line takes longer than what the line tells of, and its making in between a quarter as long.

    A warning is written at once, with all that was gathered before it; so is the rest when the process ends.
    Lines that the stream does not take (its reader has gone, the disk is full) are lost, and calls go on.
    What is shared with other processes is written in pieces that do not cut through lines of theirs.
    """

    def __init__(self, stream: TextIO, formatter: LineFormatter, *, is_shared: bool = False) -> None:
        super().__init__()
        self._most = PIPE_BUF if is_shared else _PIECE_BYTES
        self.setFormatter(formatter)
        self._text = formatter.text
        self._stream = stream
        self._lines: deque[str | MakeLine] = deque()
        self._due = threading.Event()
        threading.Thread(target=self._write_when_due, name="log lines", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        self._add(self.format(record))
        if record.levelno >= logging.WARNING:
            self.flush()

    def emit_later(self, make: MakeLine) -> None:
        """A line that is made when it is written."""
        self._add(make)

    def flush(self) -> None:
        self._write(len(self._lines))

    def _add(self, line: str | MakeLine) -> None:
        self._lines.append(line)
        if not self._due.is_set():
            self._due.set()

    def _write(self, most: int) -> None:
        with self.lock or nullcontext():
            lines = [self._lines.popleft() for _ in range(min(most, len(self._lines)))]
            with suppress(OSError):
                texts = (line if isinstance(line, str) else self._text(line()) for line in lines)
                for piece in _pieces(texts, self._most):
                    self._stream.write(piece)
                    self._stream.flush()

    def _write_when_due(self) -> None:
        while self._due.wait():
            time.sleep(MOMENT_SECONDS)
            self._due.clear()
            while self._lines:
                self._write(AT_A_STRETCH)
                time.sleep(_PAUSE_SECONDS)


def _pieces(lines: Iterator[str], most_bytes: int) -> Iterator[str]:
    # Of whole lines. A pipe takes PIPE_BUF bytes at once, or nothing.
    piece, size = "", 0
    for line in lines:
        length = (len(line) if line.isascii() else len(line.encode(errors="replace"))) + 1
        if size + length > most_bytes and piece:
            yield piece
            piece, size = "", 0
        piece += line + "\n"
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
    handler = _writer = LineWriter(sys.stderr, formatter, is_shared=pid is not None)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("service").setLevel(level.upper())
    # gRPC calls it an error when the client of a call has gone; the call's own line says so.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    # PyMongo's own log lines hold commands, and so people.
    logging.getLogger("pymongo").setLevel(logging.CRITICAL)


def tell_later(logger: logging.Logger, make: MakeLine) -> None:
    """A line of INFO for which a busy caller has no time now: it is made when it is written."""
    if _writer is None:
        logger.handle(_record(logger.name, make()))
    else:
        _writer.emit_later(make)


def _record(name: str, line: Line) -> logging.LogRecord:
    made = {"name": name, "msg": line.event, "levelno": logging.INFO, "levelname": line.level}
    return logging.makeLogRecord({**line.facts, **made, "created": line.moment})
