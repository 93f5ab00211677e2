"""One call of one method: how its request is read, what it holds until its end, what its log line says."""

import itertools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode

from service.domain.errors import Internal, InvalidField, ServiceError, StoreUnavailable, Violation
from service.ops import logs
from service.ops.lines import Facts, Line
from service.ops.traces import CallSpan
from service.rpc import audited, requests
from service.rpc.call_counts import CallCounts

log = logging.getLogger(__name__)

# Of this process, then counted: asking the system for randomness takes longer than all else a call needs.
_process = secrets.token_hex(4)
_numbers = itertools.count(1)


class Method:
    """What is known of a method before it is called."""

    def __init__(self, descriptor: MethodDescriptor) -> None:
        self.name = descriptor.name
        self.streams: bool = descriptor.server_streaming
        self.takes_stream: bool = descriptor.client_streaming
        self.counts = CallCounts(descriptor)
        self.audited = descriptor.name in audited.NAMED
        self.is_of_many = descriptor.name in audited.MANY
        # Who chose its contacts by a filter is told with it.
        self.is_by_filter = self.is_of_many and "filter" in descriptor.input_type.fields_by_name
        # A stream without an end of its own: a drain does not wait for it.
        self.is_endless = descriptor.name == "WatchContacts"
        self._request = GetMessageClass(descriptor.input_type)
        self._shortcut = requests.SHORTCUTS.get(descriptor.name)

    def parsed(self, raw: bytes) -> Any:
        """The request; raises InvalidField when the bytes are none."""
        if self._shortcut and (request := self._shortcut(raw)):
            return request
        try:
            return self._request.FromString(raw)
        except DecodeError as error:
            rule = f"does not parse as {self._request.DESCRIPTOR.full_name}"
            raise InvalidField(Violation("request", rule)) from error


class Call:
    """A call from its arrival to its log line."""

    __slots__ = (
        "_ended",
        "_moment",
        "_number",
        "_started",
        "account",
        "audited",
        "bytes",
        "code",
        "contact_id",
        "filter",
        "items",
        "keys_fetched",
        "method",
        "principal",
        "reason",
        "release",
        "rows",
        "span",
    )

    def __init__(self, method: Method) -> None:
        self.method = method
        method.counts.started += 1
        # Of a stream each message is counted when it has come.
        method.counts.received += not method.takes_stream
        self._number = next(_numbers)
        self.code = "OK"
        self.audited = method.audited
        self.contact_id: str | None = None
        self.filter: str | None = None
        # Of many what became of each, as far as that is known and was not told yet.
        self.items: list[audited.Item] = []
        self.reason: str | None = None
        self.account: str | None = None
        self.principal: str | None = None
        self.rows = self.bytes = 0
        self.span: CallSpan | None = None
        self.keys_fetched: Callable[[], Awaitable[None]] | None = None
        self.release: Callable[[], None] | None = None
        self._started = time.perf_counter()
        self._ended = self._moment = 0.0

    @property
    def request_id(self) -> str:
        return f"{_process}{self._number:08x}"

    def failed(self, error: Exception) -> ServiceError:
        """The error for the caller; one that is not ours is logged in full and told in none."""
        told = error if isinstance(error, ServiceError) else Internal(self.request_id)
        self.code, self.reason = told.code, told.reason
        if told is not error:
            facts = {"method": self.method.name, "request_id": self.request_id}
            log.error("a call failed", extra=facts, exc_info=error)
        # Its frames hold what holds it.
        told.__traceback__ = None
        # Nothing was asked of the database. But a start that was told has an end, and what came before in a
        # stream has had its answers.
        was_told = self.filter is not None or self.method.takes_stream
        if isinstance(told, StoreUnavailable) and not told.asked and not was_told:
            self.audited = False
        return told

    def end(self) -> None:
        """Lets go of what it holds, counts, and writes the line."""
        if self.release:
            self.release()
        self._ended = time.perf_counter()
        self.method.counts.ended(self.code, self._ended - self._started)
        if self.span is not None:
            self.span.end(self.code, StatusCode[self.code].value[0], self.reason, self.request_id)
        self._moment = time.time()
        # While the database is away, that is told once for all calls (health.py).
        if self.reason != StoreUnavailable.reason and log.isEnabledFor(logging.INFO):
            logs.tell_later(log, self._line)

    def audit_start(self) -> Line:
        """The audit line of a stream that begins."""
        return Line(time.time(), "audit", self._facts({"phase": "start", "filter": self.filter}))

    def audit_item(self, item: audited.Item, moment: float) -> Line:
        """The audit line of one contact of many, of what was then."""
        about = {"code": item.code, "reason": item.reason, "contact_id": audited.shown(item.contact_id)}
        return Line(moment, "audit", self._facts(about))

    def audit_end(self) -> Line:
        """The audit line of a call that has ended."""
        about: dict[str, object] = {
            "code": self.code,
            "reason": self.reason,
            "contact_id": audited.shown(self.contact_id),
        }
        if self.method.streams:
            about |= {"phase": "end", "filter": self.filter, "count": self.rows, "bytes": self.bytes}
        if self.method.is_by_filter:
            about |= {"filter": self.filter, "count": self.rows}
        return Line(self._moment, "audit", self._facts(about))

    def _line(self) -> Line:
        milliseconds = round((self._ended - self._started) * 1000, 2)
        about = {"code": self.code, "reason": self.reason, "milliseconds": milliseconds}
        return Line(self._moment, "call", self._facts(about))

    def _facts(self, about: Facts) -> Facts:
        return {
            "method": self.method.name,
            **about,
            "account": self.account,
            "principal": self.principal,
            "request_id": self.request_id,
        }
