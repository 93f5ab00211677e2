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

from service.ops.lines import Line, LineFormatter, as_json, console

MOMENT_SECONDS = 0.1
# Lines that are made and written at a stretch, and the pause behind them. Their making holds the interpreter,
# and calls would wait for all of a moment's lines: at 5,000 calls a second for 5 ms of each 100. With 32 at a
# stretch the interpreter changes hands so often that it costs a twentieth of the calls.
_AT_A_STRETCH = 128
_PAUSE_SECONDS = 0.0002

MakeLine: TypeAlias = Callable[[], Line]


class LineWriter(logging.Handler):
    """Gathers lines for a moment and writes them together: at a thousand calls a second, a write for each
    line takes longer than what the line tells of, and its making in between a quarter as long.

    A warning is written at once, with all that was gathered before it; so is the rest when the process ends.
    Lines that the stream does not take (its reader has gone, the disk is full) are lost, and calls go on.
    """

    def __init__(self, stream: TextIO, formatter: LineFormatter) -> None:
        super().__init__()
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
                for block in _blocks(line if isinstance(line, str) else self._text(line()) for line in lines):
                    self._stream.write(block)
                    self._stream.flush()

    def _write_when_due(self) -> None:
        while self._due.wait():
            time.sleep(MOMENT_SECONDS)
            self._due.clear()
            while self._lines:
                self._write(_AT_A_STRETCH)
                time.sleep(_PAUSE_SECONDS)


def _blocks(lines: Iterator[str]) -> Iterator[str]:
    # Whole lines, as many as a pipe takes in one piece: those of two workers do not cut through each other.
    block, size = "", 0
    for line in lines:
        length = (len(line) if line.isascii() else len(line.encode(errors="replace"))) + 1
        if size + length > PIPE_BUF and block:
            yield block
            block, size = "", 0
        block += line + "\n"
        size += length
    if block:
        yield block


_writer: LineWriter | None = None


def configure(style: str, level: str, pid: int | None = None) -> None:
    """Everything to stderr, as `console` or `json`. Libraries speak from WARNING on, without their texts.

    With a pid, every line has it: several processes write to one stream.
    """
    # Not in any line of ours, and a third of what a record costs.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    global _writer  # noqa: PLW0603 (as the handlers of logging are)
    handler = _writer = LineWriter(sys.stderr, LineFormatter(as_json if style == "json" else console, pid))
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
