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


@dataclass(frozen=True, slots=True)
class WireError:
    """What the client receives for an error."""

    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def wire_error(error: ServiceError) -> WireError:
    code = grpc.StatusCode[error.code]
    status = Status(code=code.value[0], message=error.message)
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    _add(status, info)
    if error.retry_after is not None:
        _add(status, _retry_info(error.retry_after))
    _add_violations(status, error)
    trailing: list[tuple[str, str | bytes]] = [(_DETAILS_KEY, status.SerializeToString())]
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after is not None:
        trailing.append((_PUSHBACK_KEY, str(math.ceil(error.retry_after * 1000))))
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


def _retry_info(seconds: float) -> RetryInfo:
    info = RetryInfo()
    info.retry_delay.FromMilliseconds(math.ceil(seconds * 1000))
    return info


def _add(status: Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)
