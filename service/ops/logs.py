"""Logs: one line an event, with the fields of an allow-list and nothing personal."""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import lru_cache, partial
from select import PIPE_BUF
from typing import Any, TextIO, TypeAlias

import orjson

# What is not named here is not written, whatever a caller passes as extra.
FIELDS = (
    "method",
    "code",
    "reason",
    "account",
    "principal",
    "phase",
    "contact_id",
    "filter",
    "count",
    "bytes",
    "milliseconds",
    "request_id",
    "address",
    "ops_address",
    "database",
    "data_dir",
    "file",
    "indexes",
    "refused",
    "pid",
    "seconds",
    "workers",
    "share",
    "limit_bytes",
    "error",
)
MOMENT_SECONDS = 0.1
# Their messages quote documents and keys: E11000 holds the fingerprint.
_DRIVER_MODULES = ("pymongo", "bson")
# And those of these quote what was looked up or could not be read: int("ann@example.com").
_QUOTING = (LookupError, ValueError)


_MakeRecord: TypeAlias = Callable[[], logging.LogRecord]


class LineWriter(logging.Handler):
    """Gathers lines for a moment and writes them together: at a thousand calls a second, a write for each
    line takes longer than what the line tells of, and its making in between a quarter as long.

    A warning is written at once, with all that was gathered before it; so is the rest when the process ends.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str | _MakeRecord] = []
        self._due = threading.Event()
        threading.Thread(target=self._write_when_due, name="log lines", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        self._add(self.format(record))
        if record.levelno >= logging.WARNING:
            self.flush()

    def emit_later(self, make: _MakeRecord) -> None:
        """As `emit`, with a record that is made when it is written."""
        self._add(make)

    def flush(self) -> None:
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            for block in _blocks([line if isinstance(line, str) else self._line(line) for line in lines]):
                self._stream.write(block)
                self._stream.flush()

    def _add(self, line: str | _MakeRecord) -> None:
        self._lines.append(line)
        if not self._due.is_set():
            self._due.set()

    def _line(self, make: _MakeRecord) -> str:
        record = make()
        self.filter(record)
        return self.format(record)

    def _write_when_due(self) -> None:
        while self._due.wait():
            time.sleep(MOMENT_SECONDS)
            self._due.clear()
            self.flush()


def _blocks(lines: list[str]) -> Iterator[str]:
    # Whole lines, as many as a pipe takes in one piece: those of two workers do not cut through each other.
    block, size = "", 0
    for line in lines:
        length = len(line.encode(errors="replace")) + 1
        if size + length > PIPE_BUF and block:
            yield block
            block, size = "", 0
        block += line + "\n"
        size += length
    if block:
        yield block


class ConsoleFormatter(logging.Formatter):
    """`time LEVEL event key=value ...`, an exception's frames below."""

    def format(self, record: logging.LogRecord) -> str:
        facts = _facts(record)
        trace = facts.pop("trace", "")
        pairs = "".join([f" {name}={value}" for name, value in facts.items()])
        moment = _local_second(int(record.created))
        line = f"{moment}.{int(record.msecs):03d} {record.levelname:<7} {record.getMessage()}{pairs}"
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{_utc_second(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "event": record.getMessage(),
            **_facts(record),
        }
        return orjson.dumps(line).decode()


_writer: LineWriter | None = None


def configure(style: str, level: str, pid: int | None = None) -> None:
    """Everything to stderr, as `console` or `json`. Libraries speak from WARNING on, without their texts.

    With a pid, every line has it: several processes write to one stream.
    """
    # Not in any line of ours, and a third of what a record costs.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    global _writer  # noqa: PLW0603 (as the handlers of logging are)
    handler = _writer = LineWriter(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else ConsoleFormatter())
    if pid is not None:
        handler.addFilter(partial(_stamp, pid))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("service").setLevel(level.upper())
    # gRPC calls it an error when the client of a call has gone; the call's own line says so.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    # PyMongo's own log lines hold commands, and so people.
    logging.getLogger("pymongo").setLevel(logging.CRITICAL)


def tell_later(logger: logging.Logger, make: _MakeRecord) -> None:
    """A line of INFO for which a busy caller has no time now: its record is made when it is written."""
    if _writer is None:
        logger.handle(make())
    else:
        _writer.emit_later(make)


def without_driver_text(error: BaseException) -> str:
    """The frames and type of an exception and its causes; the message only where it quotes no value."""
    trace = traceback.TracebackException.from_exception(error)
    parts: list[str] = []
    _describe(error, trace, parts)
    return "".join(parts).rstrip()


def _describe(error: BaseException, trace: traceback.TracebackException, parts: list[str]) -> None:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        _describe(cause, traceback.TracebackException.from_exception(cause), parts)
        parts.append("led to\n")
    parts.extend(trace.stack.format())
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    if kind.startswith(_DRIVER_MODULES):
        parts.append(f"{kind} (code {getattr(error, 'code', None)}; its text is withheld)\n")
    elif isinstance(error, _QUOTING):
        parts.append(f"{kind} (its text is withheld)\n")
    else:
        parts.append(f"{kind}: {error}\n")


# Many lines fall into one second, and writing the time takes longer than the rest of them.
@lru_cache(maxsize=2)
def _local_second(seconds: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


@lru_cache(maxsize=2)
def _utc_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _stamp(pid: int, record: logging.LogRecord) -> bool:
    record.__dict__.setdefault("pid", pid)
    return True


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    given = record.__dict__
    facts = {name: given[name] for name in FIELDS if given.get(name) is not None}
    if record.exc_info and record.exc_info[1]:
        facts["trace"] = without_driver_text(record.exc_info[1])
    return facts
