"""What can go wrong, as the caller sees it. Each class carries its gRPC code and ErrorReason by name.

ServiceError
├── who and what:  CredentialsMissing, CredentialsInvalid, ScopeMissing, AccountNotAllowed, ContactNotOwned
├── bad request:   InvalidField, MaskPathInvalid, MetadataInvalid, NoIdentity, FilterInvalid,
│                  PageTokenInvalid, PageTokenMismatch, TrustImmutable
├── state:         ContactNotFound, EtagMismatch, WriteConflict, FingerprintTaken, IdTaken,
│                  DeleteRestricted, ResumeTokenExpired
└── weather:       RateLimited, ExportSlotsFull, ResponseFull, ReaderStalled, StoreTimeout, StoreUnavailable,
                   ShuttingDown, Internal
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Violation:
    """A field of the request, by its path, and the rule that it breaks. Never the value."""

    field: str
    rule: str


class ServiceError(Exception):
    """An error of the interface: `code` and `reason` by name, one plain sentence, machine-readable facts.

    `retry_after` (seconds) tells the caller when a repetition makes sense.
    """

    code: ClassVar[str]
    reason: ClassVar[str]

    def __init__(
        self,
        message: str,
        *,
        violations: tuple[Violation, ...] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.violations = violations
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after


class CredentialsMissing(ServiceError):
    code, reason = "UNAUTHENTICATED", "CREDENTIALS_MISSING"

    def __init__(self) -> None:
        super().__init__("Send a token in the metadata: authorization: Bearer <token>.")


class CredentialsInvalid(ServiceError):
    code, reason = "UNAUTHENTICATED", "CREDENTIALS_INVALID"

    def __init__(self) -> None:
        super().__init__("The credentials are unknown, expired or malformed.")


class ScopeMissing(ServiceError):
    code, reason = "PERMISSION_DENIED", "SCOPE_MISSING"

    def __init__(self, scope: str) -> None:
        super().__init__(f"The credentials lack the scope {scope}.", metadata={"scope": scope})


class AccountNotAllowed(ServiceError):
    code, reason = "PERMISSION_DENIED", "ACCOUNT_NOT_ALLOWED"


class ContactNotOwned(ServiceError):
    code, reason = "PERMISSION_DENIED", "CONTACT_NOT_OWNED"

    def __init__(self) -> None:
        super().__init__("The contact id belongs to another account.")


class InvalidRequest(ServiceError):
    """A request that breaks rules of the interface; the message names the first one."""

    code = "INVALID_ARGUMENT"

    def __init__(self, *violations: Violation) -> None:
        first = violations[0]
        super().__init__(f"{first.field}: {first.rule}.", violations=violations)


class InvalidField(InvalidRequest):
    reason = "INVALID_FIELD"


class MaskPathInvalid(InvalidRequest):
    reason = "MASK_PATH_INVALID"


class MetadataInvalid(InvalidRequest):
    reason = "METADATA_INVALID"


class NoIdentity(InvalidRequest):
    reason = "NO_IDENTITY"


class FilterInvalid(InvalidRequest):
    reason = "FILTER_INVALID"


class PageTokenInvalid(InvalidRequest):
    reason = "PAGE_TOKEN_INVALID"


class PageTokenMismatch(InvalidRequest):
    reason = "PAGE_TOKEN_MISMATCH"


class TrustImmutable(InvalidRequest):
    reason = "TRUST_IMMUTABLE"


class ContactNotFound(ServiceError):
    code, reason = "NOT_FOUND", "CONTACT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no contact with this id.")


class EtagMismatch(ServiceError):
    code, reason = "ABORTED", "ETAG_MISMATCH"

    def __init__(self) -> None:
        super().__init__("The contact has changed since this etag was read; read it again.")


class WriteConflict(ServiceError):
    code, reason = "ABORTED", "WRITE_CONFLICT"

    def __init__(self) -> None:
        super().__init__("Other writers won every round; nothing was written, try again.")


class FingerprintTaken(ServiceError):
    code, reason = "ALREADY_EXISTS", "FINGERPRINT_TAKEN"

    def __init__(self, existing_id: str) -> None:
        super().__init__("Another contact has this fingerprint.", metadata={"existing_id": existing_id})


class IdTaken(ServiceError):
    code, reason = "ALREADY_EXISTS", "ID_TAKEN"

    def __init__(self) -> None:
        super().__init__("The id belongs to a contact with another fingerprint or class.")


class RateLimited(ServiceError):
    """`retry_after` is infinite where waiting does not help: then the caller is not told to."""

    code, reason = "RESOURCE_EXHAUSTED", "RATE_LIMITED"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, retry_after=retry_after if math.isfinite(retry_after) else None)


class DeleteRestricted(ServiceError):
    code, reason = "FAILED_PRECONDITION", "DELETE_RESTRICTED"

    def __init__(self, collection: str, count: int) -> None:
        super().__init__(
            "Linked data forbids the deletion; remove it first.",
            metadata={"collection": collection, "count": str(count)},
        )


class ResumeTokenExpired(ServiceError):
    code, reason = "OUT_OF_RANGE", "RESUME_TOKEN_EXPIRED"

    def __init__(self) -> None:
        super().__init__(
            "The changes behind this token are no longer kept; export anew, and watch from there."
        )


class ExportSlotsFull(ServiceError):
    code, reason = "RESOURCE_EXHAUSTED", "EXPORT_SLOTS_FULL"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=1.0)


class ResponseFull(ServiceError):
    code, reason = "RESOURCE_EXHAUSTED", "RESPONSE_FULL"

    def __init__(self) -> None:
        super().__init__("This response is full; ask for the item again.")


class ReaderStalled(ServiceError):
    code, reason = "ABORTED", "READER_STALLED"

    def __init__(self, seconds: float, did: str = "The reader took nothing") -> None:
        super().__init__(f"{did} for {seconds:g} s; go on from what arrived.")


class StoreTimeout(ServiceError):
    code, reason = "DEADLINE_EXCEEDED", "STORE_TIMEOUT"

    def __init__(self) -> None:
        super().__init__("The database did not answer in time; a write may have happened.")


class StoreUnavailable(ServiceError):
    code, reason = "UNAVAILABLE", "STORE_UNAVAILABLE"

    def __init__(
        self,
        message: str = "The database is away; try again.",
        *,
        asked: bool = True,
        refused: bool = False,
    ) -> None:
        super().__init__(message, retry_after=1.0)
        # Else it was known to be away, and surely nothing was done.
        self.asked = asked
        # It is there, and lets the service's user not in, or not do what it has to.
        self.refused = refused


class ShuttingDown(ServiceError):
    code, reason = "UNAVAILABLE", "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("This replica is draining; try again on another one.", retry_after=0.1)


class Internal(ServiceError):
    code, reason = "INTERNAL", "INTERNAL"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "The service failed; the request id finds the reason in its log.",
            metadata={"request_id": request_id},
        )
