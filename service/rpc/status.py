"""From an error of the domain to what travels: a gRPC code, one sentence, and google.rpc details."""

import math
from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from service.domain.errors import ServiceError
from service.domain.limits import ERROR_DETAIL_BYTES

DOMAIN = "contactservice.v1"
_DETAILS_KEY = "grpc-status-details-bin"
_PUSHBACK_KEY = "grpc-retry-pushback-ms"
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class WireError:
    """What the client receives for an error."""

    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


_known: dict[tuple[str, str, str, int | None], WireError] = {}


def wire_error(error: ServiceError) -> WireError:
    """What is told of the error. Whoever is refused is mostly refused again: the making of it takes 15 us."""
    if error.metadata or error.violations:
        return _made(error)
    said = error.code, error.reason, error.message, _milliseconds(error.retry_after)
    known = _known.get(said)
    if known is None:
        if len(_known) >= _REMEMBERED:
            _known.clear()
        known = _known[said] = _made(error)
    return known


def _made(error: ServiceError) -> WireError:
    code = grpc.StatusCode[error.code]
    status = Status(code=code.value[0], message=error.message)
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    _add(status, info)
    wait = _milliseconds(error.retry_after)
    if wait is not None:
        _add(status, _retry_info(wait))
    _add_violations(status, error)
    trailing: list[tuple[str, str | bytes]] = [(_DETAILS_KEY, status.SerializeToString())]
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and wait is not None:
        trailing.append((_PUSHBACK_KEY, str(wait)))
    return WireError(code, error.message, tuple(trailing))


def _add_violations(status: Status, error: ServiceError) -> None:
    # Beyond some 8 KiB of details clients see RESOURCE_EXHAUSTED instead: the later violations are left out.
    violations = [
        BadRequest.FieldViolation(field=each.field, description=each.rule) for each in error.violations
    ]
    while violations:
        bad_request = BadRequest(field_violations=violations)
        if status.ByteSize() + bad_request.ByteSize() + 64 <= ERROR_DETAIL_BYTES:
            _add(status, bad_request)
            return
        violations.pop()


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else math.ceil(seconds * 1000)


def _retry_info(milliseconds: int) -> RetryInfo:
    info = RetryInfo()
    info.retry_delay.FromMilliseconds(milliseconds)
    return info


def _add(status: Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)
