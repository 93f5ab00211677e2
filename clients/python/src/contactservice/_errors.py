"""What a failed call raises, read from the status and its google.rpc details.

ContactServiceError
├── InvalidRequest      INVALID_ARGUMENT, with `violations`
├── CallerRefused       UNAUTHENTICATED or PERMISSION_DENIED
├── ContactNotFound     NOT_FOUND; `merged_into` when the contact was merged away
├── FingerprintTaken    ALREADY_EXISTS, with `existing_id`
├── EtagMismatch        ABORTED: read the contact again
├── DeleteRestricted    FAILED_PRECONDITION: linked data forbids the deletion
├── ResumeTokenExpired  OUT_OF_RANGE: a watch cannot go on from its token, export anew
├── LimitReached        RESOURCE_EXHAUSTED, with `retry_after` where waiting helps
├── ServiceUnavailable  UNAVAILABLE: service or database are away, or cannot be reached
└── DeadlineExceeded    DEADLINE_EXCEEDED: a write may have happened
ExportIncomplete        what arrived of an export is not all, or not what was sent
"""

from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

DOMAIN = "contactservice.v1"
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks its rule."""

    field: str
    rule: str


@dataclass(frozen=True, slots=True)
class Details:
    """What the service adds to code and sentence; empty when gRPC itself, or a proxy, has answered."""

    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    retry_after: float | None = None


class ContactServiceError(Exception):
    """A call failed: gRPC code, one sentence, and the details of the service.

    `reason` is an ErrorReason without its prefix, `metadata` what belongs to it, `violations` the broken
    fields, `retry_after` the seconds to wait where waiting helps.
    """

    def __init__(self, code: grpc.StatusCode, message: str, details: Details) -> None:
        super().__init__(f"{details.reason or code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = details.reason
        self.metadata = details.metadata
        self.violations = details.violations
        self.retry_after = details.retry_after


class InvalidRequest(ContactServiceError):
    """The request breaks a rule; `violations` names the fields."""


class CallerRefused(ContactServiceError):
    """The credential is missing or bad, lacks the scope, or is not for this account or contact."""


class ContactNotFound(ContactServiceError):
    """No contact has the id."""

    @property
    def merged_into(self) -> str | None:
        """The id of the contact that this one was merged into."""
        return self.metadata.get("merged_into")


class FingerprintTaken(ContactServiceError):
    """Another contact has the fingerprint; nothing was written."""

    @property
    def existing_id(self) -> str:
        return self.metadata.get("existing_id", "")


class EtagMismatch(ContactServiceError):
    """The contact has changed since it was read; nothing was written."""


class DeleteRestricted(ContactServiceError):
    """Linked data forbids the deletion; `metadata` has its `collection` and `count`."""


class ResumeTokenExpired(ContactServiceError):
    """The changes behind the token are no longer kept: export anew, and watch from there."""


class LimitReached(ContactServiceError):
    """More was asked than is taken at a time."""


class ServiceUnavailable(ContactServiceError):
    """Service or database are away, or cannot be reached."""


class DeadlineExceeded(ContactServiceError):
    """There was no answer in time; a write may have happened."""


class ExportIncomplete(Exception):
    """An export ended without a summary that fits what arrived."""


_BY_REASON: dict[str, type[ContactServiceError]] = {
    "CONTACT_NOT_FOUND": ContactNotFound,
    "CONTACT_MERGED": ContactNotFound,
    "FINGERPRINT_TAKEN": FingerprintTaken,
    "ETAG_MISMATCH": EtagMismatch,
    "DELETE_RESTRICTED": DeleteRestricted,
    "RESUME_TOKEN_EXPIRED": ResumeTokenExpired,
}
_BY_CODE: dict[grpc.StatusCode, type[ContactServiceError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: CallerRefused,
    grpc.StatusCode.PERMISSION_DENIED: CallerRefused,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitReached,
    grpc.StatusCode.UNAVAILABLE: ServiceUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def error_of(failed: grpc.RpcError) -> ContactServiceError:
    """The error that a failed call is, caused by it."""
    # What a stub raises is its call, too; the types do not say so.
    call = cast("grpc.Call", failed)
    code, trailing = call.code(), dict(call.trailing_metadata() or ())
    details = _details(trailing.get(_DETAILS_KEY))
    kind = _BY_REASON.get(details.reason) or _BY_CODE.get(code, ContactServiceError)
    error = kind(code, call.details() or "no details", details)
    error.__cause__ = failed
    return error


def _details(packed: Any) -> Details:
    if not isinstance(packed, bytes):
        return Details()
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    try:
        for detail in Status.FromString(packed).details:
            for message in (info, bad_request, retry):
                detail.Unpack(message)
    except DecodeError:
        return Details()
    is_ours = info.domain == DOMAIN
    return Details(
        reason=info.reason if is_ours else "",
        metadata=dict(info.metadata) if is_ours else {},
        violations=tuple(Violation(each.field, each.description) for each in bad_request.field_violations),
        retry_after=retry.retry_delay.ToTimedelta().total_seconds()
        if retry.HasField("retry_delay")
        else None,
    )
