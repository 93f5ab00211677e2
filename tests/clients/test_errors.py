"""Errors as the clients read them from a status, whoever made it."""

from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from contactservice import (
    CallerRefused,
    ContactNotFound,
    ContactServiceError,
    DeleteRestricted,
    EtagMismatch,
    FingerprintTaken,
    InvalidRequest,
    LimitReached,
    ServiceUnavailable,
    Violation,
)
from contactservice._errors import error_of
from service.domain import errors
from service.rpc.status import wire_error


@dataclass
class Failed(grpc.RpcError):
    """A failed call as a stub raises it."""

    status: grpc.StatusCode
    sentence: str
    trailing: tuple[tuple[str, Any], ...] = ()

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.sentence

    def trailing_metadata(self) -> tuple[tuple[str, Any], ...]:
        return self.trailing


def told(error: errors.ServiceError) -> ContactServiceError:
    wire = wire_error(error)
    return error_of(Failed(wire.code, wire.message, wire.trailing_metadata))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.CredentialsMissing(), CallerRefused),
        (errors.ScopeMissing("read"), CallerRefused),
        (errors.ContactNotFound(), ContactNotFound),
        (errors.FingerprintTaken("ct_1"), FingerprintTaken),
        (errors.EtagMismatch(), EtagMismatch),
        (errors.DeleteRestricted("orders", 3), DeleteRestricted),
        (errors.InvalidField(errors.Violation("contact.name", "is too long")), InvalidRequest),
        (errors.RateLimited("too many", retry_after=2.0), LimitReached),
        (errors.StoreUnavailable(), ServiceUnavailable),
        (errors.WriteConflict(), ContactServiceError),
    ],
)
def test_each_error_has_its_class_and_details(
    error: errors.ServiceError, kind: type[ContactServiceError]
) -> None:
    """What the service said is all there: code, reason, sentence, metadata, fields and seconds to wait."""
    read = told(error)
    assert type(read) is kind
    assert (read.code.name, read.reason, read.message) == (error.code, error.reason, error.message)
    assert read.metadata == error.metadata
    assert read.violations == tuple(Violation(each.field, each.rule) for each in error.violations)
    assert read.retry_after == error.retry_after
    assert str(read) == f"{error.reason}: {error.message}"
    assert isinstance(read.__cause__, Failed)


def test_what_comes_from_others_has_a_code_and_a_sentence() -> None:
    """GRPC itself sends no details, a proxy may send its own or rubbish: none of it is taken for ours."""
    status = Status()
    status.details.add().Pack(ErrorInfo(reason="QUOTA", domain="proxy.example", metadata={"a": "b"}))
    for packed in (None, b"\xff\xff", status.SerializeToString(), "text"):
        trailing = (("grpc-status-details-bin", packed),) if packed else ()
        read = error_of(Failed(grpc.StatusCode.UNAVAILABLE, "no route", trailing))
        assert (type(read), read.reason, read.metadata) == (ServiceUnavailable, "", {})
        assert str(read) == "UNAVAILABLE: no route"
