"""How one item of many failed."""

from typing import NamedTuple, Self

import grpc

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1 import errors_pb2


class ItemEnd(NamedTuple):
    """How an item of a batch failed."""

    code: int
    reason: str
    metadata: dict[str, str]

    @classmethod
    def of(cls, error: pb.ItemError) -> Self:
        return cls(error.code, errors_pb2.ErrorReason.Name(error.reason), dict(error.metadata))


FOREIGN = ItemEnd(grpc.StatusCode.PERMISSION_DENIED.value[0], "ERROR_REASON_CONTACT_NOT_OWNED", {})
