"""What is counted of the calls of one method: plain numbers, since every call passes here."""

from collections.abc import Mapping
from functools import partial

from google.protobuf.descriptor import MethodDescriptor

from service.ops.metrics import Histogram, Metrics

# As the metrics of gRPC in Go spell them, which the usual dashboards read.
CODES: Mapping[str, str] = {
    "OK": "OK",
    "CANCELLED": "Canceled",
    "UNKNOWN": "Unknown",
    "INVALID_ARGUMENT": "InvalidArgument",
    "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "NOT_FOUND": "NotFound",
    "ALREADY_EXISTS": "AlreadyExists",
    "PERMISSION_DENIED": "PermissionDenied",
    "RESOURCE_EXHAUSTED": "ResourceExhausted",
    "FAILED_PRECONDITION": "FailedPrecondition",
    "ABORTED": "Aborted",
    "OUT_OF_RANGE": "OutOfRange",
    "UNIMPLEMENTED": "Unimplemented",
    "INTERNAL": "Internal",
    "UNAVAILABLE": "Unavailable",
    "DATA_LOSS": "DataLoss",
    "UNAUTHENTICATED": "Unauthenticated",
}
# Seconds: from what a get takes to what a large export may.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)


class CallCounts:
    """Of one method, since the process began."""

    __slots__ = ("handled", "labels", "received", "seconds", "sent", "started")

    def __init__(self, method: MethodDescriptor) -> None:
        self.labels = (_kind(method), method.containing_service.full_name, method.name)
        self.started = self.received = self.sent = 0
        self.handled = dict.fromkeys(CODES, 0)
        self.seconds = Histogram(*_BOUNDS)

    def ended(self, code: str, seconds: float) -> None:
        self.handled[code] += 1
        self.seconds.observe(seconds)

    @property
    def in_flight(self) -> int:
        return self.started - sum(self.handled.values())

    def show(self, metrics: Metrics) -> None:
        metrics.read("grpc_server_started_total", lambda: self.started, *self.labels)
        metrics.read("grpc_server_msg_received_total", lambda: self.received, *self.labels)
        metrics.read("grpc_server_msg_sent_total", lambda: self.sent, *self.labels)
        metrics.read("grpc_server_handling_seconds", lambda: self.seconds, *self.labels)
        for code, name in CODES.items():
            metrics.read("grpc_server_handled_total", partial(self.handled.get, code), *self.labels, name)


def _kind(method: MethodDescriptor) -> str:
    if method.client_streaming:
        return "bidi_stream" if method.server_streaming else "client_stream"
    return "server_stream" if method.server_streaming else "unary"
