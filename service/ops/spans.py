"""Spans by OpenTelemetry, sent by OTLP over HTTP. Imported only where traces are asked for."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Token
from importlib.metadata import version
from typing import Self

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_NAME = "contactservice"
_CLOSE_SECONDS = 3.0
# Codes that are the service's fault, not the caller's.
_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}


class Spans:
    """The spans of one server."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_NAME)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to_collector(cls) -> Self:
        """Where, how often and how many, is read from the environment by the libraries."""
        ours = Resource.create({"service.name": _NAME, "service.version": version("contactservice-server")})
        provider = TracerProvider(
            resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def call(self, service: str, method: str, traceparent: str | None) -> "CallSpan":
        # Not tracestate: what is in that, callers write.
        carrier = {"traceparent": traceparent} if traceparent else {}
        span = self._tracer.start_span(
            f"{service}/{method}",
            self._propagator.extract(carrier, Context()),
            SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )
        return CallSpan(span, context.attach(trace.set_span_in_context(span)))

    @contextmanager
    def database(self, operation: str) -> Iterator[None]:
        if not trace.get_current_span().is_recording():
            yield
            return
        # Not of an exception: its text is the driver's.
        with self._tracer.start_as_current_span(
            f"mongodb {operation}",
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": "mongodb", "db.operation.name": operation},
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield

    async def close(self) -> None:
        # In a thread that need not end: a collector that hangs must not hold up the end of the service.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _CLOSE_SECONDS)


class CallSpan:
    """A call's span, current until its end."""

    def __init__(self, span: trace.Span, token: Token[Context]) -> None:
        self._span = span
        self._token = token

    def end(self, code: str, number: int, reason: str | None, request_id: str) -> None:
        span = self._span
        span.set_attribute("rpc.grpc.status_code", number)
        span.set_attribute("contactservice.request_id", request_id)
        if reason:
            span.set_attribute("error.type", reason)
        if code in _FAULTS:
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        context.detach(self._token)
