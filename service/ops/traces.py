"""Traces: whether the usual environment of OpenTelemetry asks for them, and whether they can be had."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class CallSpan(Protocol):
    """The span of one call."""

    def end(self, code: str, number: int, reason: str | None, request_id: str) -> None: ...


class Tracing(Protocol):
    """Makes spans. They hold names, codes and ids of our own making; nothing that a caller wrote."""

    def call(self, service: str, method: str, traceparent: str | None) -> CallSpan:
        """A span that is current in the running task until its end, below the caller's if it sent one."""

    def database(self, operation: str) -> AbstractContextManager[object]:
        """Around the wait for an operation: a span below that of the running call, if there is one."""

    async def close(self) -> None:
        """Sends what is left."""


def asked_for(environment: Mapping[str, str]) -> bool:
    """An endpoint or an exporter is named, and nothing turns traces off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    return exporter != "none" and bool(exporter or any(environment.get(name) for name in _ENDPOINTS))


def begun(environment: Mapping[str, str]) -> Tracing | None:
    """What the environment asks for; None, with a warning, where that cannot be had."""
    if not asked_for(environment):
        return None
    if why_not := _unknown(environment):
        log.warning("traces are asked for and stay off: %s", why_not)
        return None
    try:
        # An extra, and 0.2 s of a start.
        from service.ops.spans import Spans  # noqa: PLC0415
    except ModuleNotFoundError:
        log.warning("traces are asked for and stay off: install contactservice-server[otel]")
        return None
    return Spans.to_collector()


def _unknown(environment: Mapping[str, str]) -> str | None:
    exporter = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "http/protobuf")
    if exporter != "otlp":
        return "OTEL_TRACES_EXPORTER may be otlp or none"
    if protocol != "http/protobuf":
        return "OTEL_EXPORTER_OTLP_PROTOCOL may be http/protobuf"
    return None
