"""Logs: one line an event, with the fields of an allow-list and nothing personal."""

import logging
import sys
import time
import traceback
from typing import Any

import orjson

# What is not named here is not written, whatever a caller passes as extra.
FIELDS = (
    "method",
    "code",
    "reason",
    "account",
    "principal",
    "milliseconds",
    "request_id",
    "address",
    "database",
    "data_dir",
    "indexes",
    "pid",
    "error",
)
# Their messages quote documents and keys: E11000 holds the fingerprint.
_DRIVER_MODULES = ("pymongo", "bson")


class ConsoleFormatter(logging.Formatter):
    """`time LEVEL event key=value ...`, an exception's frames below."""

    def format(self, record: logging.LogRecord) -> str:
        facts = _facts(record)
        trace = facts.pop("trace", "")
        pairs = "".join(f" {name}={value}" for name, value in facts.items())
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{moment}.{int(record.msecs):03d} {record.levelname:<7} {record.getMessage()}{pairs}"
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "event": record.getMessage(),
            **_facts(record),
        }
        return orjson.dumps(line).decode()


def configure(style: str, level: str) -> None:
    """Everything to stderr, as `console` or `json`. Libraries speak from WARNING on, without their texts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else ConsoleFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("service").setLevel(level.upper())
    # gRPC calls it an error when the client of a call has gone; the call's own line says so.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    # PyMongo's own log lines hold commands, and so people.
    logging.getLogger("pymongo").setLevel(logging.CRITICAL)


def without_driver_text(error: BaseException) -> str:
    """The frames and type of an exception and its causes; the message only where no driver wrote it."""
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
    else:
        parts.append(f"{kind}: {error}\n")


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts = {name: record.__dict__[name] for name in FIELDS if record.__dict__.get(name) is not None}
    if record.exc_info and record.exc_info[1]:
        facts["trace"] = without_driver_text(record.exc_info[1])
    return facts
