"""What travels of an error: the same for the same error, and nothing of one in another."""

import math

import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from service.domain.errors import FingerprintTaken, RateLimited, ServiceError
from service.rpc import status
from service.rpc.status import wire_error


def told(error: ServiceError) -> tuple[str, dict[str, str], int, object]:
    """Message, metadata, wait in ms, and pushback."""
    wire = wire_error(error)
    trailing = dict(wire.trailing_metadata)
    info, retry = ErrorInfo(), RetryInfo()
    for detail in Status.FromString(bytes(trailing["grpc-status-details-bin"])).details:
        detail.Unpack(info)
        detail.Unpack(retry)
    wait = retry.retry_delay.ToMilliseconds()
    return wire.message, dict(info.metadata), wait, trailing.get("grpc-retry-pushback-ms")


@pytest.mark.parametrize("again", range(2))
def test_each_error_tells_its_own_wait(again: int) -> None:  # noqa: ARG001
    """In whole milliseconds, never shorter; without a wait that helps there is none."""
    for seconds, wait in ((0.0001, 1), (0.25, 250), (0.2501, 251), (7.0, 7000)):
        assert told(RateLimited("Too fast.", seconds)) == ("Too fast.", {}, wait, str(wait))
    assert told(RateLimited("Too fast.", math.inf)) == ("Too fast.", {}, 0, None)


def test_errors_with_facts_tell_their_own() -> None:
    """However alike they are otherwise."""
    for contact_id in ("ct_1", "ct_2", "ct_1"):
        assert told(FingerprintTaken(contact_id))[1] == {"existing_id": contact_id}


def test_what_is_remembered_of_errors_is_bounded() -> None:
    """Any number of different waits takes the room of a thousand."""
    for number in range(2 * status._REMEMBERED):
        wire_error(RateLimited("Too fast.", number))
    assert len(status._known) <= status._REMEMBERED
