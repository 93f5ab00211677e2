"""What a line of the log looks like: its moment, its event, and facts of an allow-list."""

import json
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, Self, TypeAlias

import orjson

from service.native import compiled

# What is not named here is not written, whatever a caller passes as extra.
FIELDS = frozenset(
    {
        "method",
        "code",
        "reason",
        "account",
        "principal",
        "phase",
        "contact_id",
        "collection",
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
    }
)
# Their messages quote documents and keys: E11000 holds the fingerprint.
_DRIVER_MODULES = ("pymongo", "bson")
# And those of these quote what was looked up or could not be read: int("ann@example.com").
_QUOTING = (LookupError, ValueError)
_HARMLESS = {str, int, float, bool}

Facts: TypeAlias = Mapping[str, object]


class Line(NamedTuple):
    """An event as it is told: Unix time, name, what is known of it, the frames of an exception."""

    moment: float
    event: str
    facts: Facts
    level: str = "INFO"
    trace: str | None = None

    @classmethod
    def of(cls, record: logging.LogRecord) -> Self:
        error = record.exc_info[1] if record.exc_info else None
        trace = without_driver_text(error) if error else None
        return cls(record.created, record.getMessage(), record.__dict__, record.levelname, trace)

    @classmethod
    def instead_of(cls, record: logging.LogRecord, failure: Exception) -> Self:
        """For a record that has no line: its event, those of its facts that can do no harm, and why."""
        facts = {name: fact for name, fact in record.__dict__.items() if type(fact) in _HARMLESS}
        event = record.msg if isinstance(record.msg, str) else record.name
        return cls(record.created, event, {**facts, **unmade(failure)}, record.levelname)


def unmade(failure: Exception) -> Facts:
    """What there is to tell of a line that could not be made."""
    return {"error": f"the line could not be made: {type(failure).__qualname__}"}


# layout(line, facts): its text, with those of its facts that may be told.
Layout: TypeAlias = Callable[[Line, Facts], str]
# compiled(line, allowed, pid): the same, None for a line that it leaves alone.
CompiledLayout: TypeAlias = Callable[[Line, frozenset[str], int | None], str | None]


class LineFormatter(logging.Formatter):
    """Lines, and records of `logging`, in one layout. With a pid a line has that, unless it names another."""

    def __init__(self, layout: Layout, pid: int | None = None) -> None:
        super().__init__()
        self._layout = layout
        self._pid = pid
        self._compiled = _COMPILED.get(layout)

    def format(self, record: logging.LogRecord) -> str:
        return self.text(Line.of(record))

    def text(self, line: Line) -> str:
        if self._compiled and (text := self._compiled(line, FIELDS, self._pid)):
            return text
        facts = {name: fact for name, fact in line.facts.items() if fact is not None and name in FIELDS}
        if self._pid is not None:
            facts.setdefault("pid", self._pid)
        return self._layout(line, facts)


def console(line: Line, facts: Facts) -> str:
    """`time LEVEL event key=value ...`, an exception's frames below."""
    pairs = "".join([f" {name}={fact}" for name, fact in facts.items()])
    clock = f"{_local_second(int(line.moment))}.{int(line.moment % 1 * 1000):03d}"
    text = f"{clock} {line.level:<7} {line.event}{pairs}"
    return f"{text}\n{line.trace}" if line.trace is not None else text


def as_json(line: Line, facts: Facts) -> str:
    """One JSON object."""
    whole = {
        "time": f"{_utc_second(int(line.moment))}.{int(line.moment % 1 * 1000):03d}Z",
        "level": line.level,
        "event": line.event,
        **facts,
    }
    if line.trace is not None:
        whole["trace"] = line.trace
    try:
        return orjson.dumps(whole, default=str).decode()
    except orjson.JSONEncodeError:
        # Half a surrogate pair, which has no UTF-8: as an escape it does no harm.
        return json.dumps(whole, default=str)


# Makes nearly all lines, 2 us sooner: calls wait for the interpreter meanwhile.
_COMPILED: Mapping[Layout, CompiledLayout] = (
    {console: compiled.console_line, as_json: compiled.json_line} if compiled else {}
)


def without_driver_text(error: BaseException) -> str:
    """The frames and type of an exception and its causes; the message only where it quotes no value."""
    return "led to\n".join(map(_described, reversed(_causes(error)))).rstrip()


def _causes(error: BaseException) -> list[BaseException]:
    # The error first. Each once: whoever raises an error from itself makes a circle.
    seen: dict[int, BaseException] = {}
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen[id(cause)] = cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return [*seen.values()]


def _described(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__)) + _named(error)


def _named(error: BaseException) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    if kind.startswith(_DRIVER_MODULES):
        return f"{kind} (code {getattr(error, 'code', None)}; its text is withheld)\n"
    if isinstance(error, _QUOTING):
        return f"{kind} (its text is withheld)\n"
    return f"{kind}: {error}\n"


# Many lines fall into one second, and writing the time takes longer than the rest of them.
@lru_cache(maxsize=2)
def _local_second(seconds: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


@lru_cache(maxsize=2)
def _utc_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
