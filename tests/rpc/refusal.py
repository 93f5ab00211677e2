"""How a call was refused, down to the bytes of its details; and calls that send any bytes at all."""

from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from service.rpc.server import SERVICE

Detail = TypeVar("Detail", bound=Message)


@dataclass(frozen=True)
class Refusal:
    """Code, sentence and serialised google.rpc.Status. Two are equal when no caller can tell them apart."""

    code: str
    message: str
    details: bytes
    trailing: tuple[str, ...]

    def detail(self, kind: type[Detail]) -> Detail | None:
        for packed in Status.FromString(self.details).details:
            found = kind()
            if packed.Unpack(found):
                return found
        return None

    @property
    def info(self) -> ErrorInfo:
        return self.detail(ErrorInfo) or ErrorInfo()

    @property
    def reason(self) -> str:
        return str(self.info.reason)

    @property
    def fields(self) -> list[str]:
        return [each.field for each in (self.detail(BadRequest) or BadRequest()).field_violations]


async def ended(call: Any) -> None:
    """The running call, unary or stream, to its end; raises what it was refused with."""
    if isinstance(call, grpc.aio.StreamStreamCall):
        # Some tests have read its first messages.
        while await call.read() is not grpc.aio.EOF:
            pass
    elif isinstance(call, grpc.aio.UnaryStreamCall):
        async for _ in call:
            pass
    else:
        await call


async def refusal(call: Any) -> Refusal:
    """How the running call, unary or stream, is refused; one that succeeds is a failure of the test."""
    try:
        await ended(call)
    except grpc.aio.AioRpcError as error:
        trailing = dict(error.trailing_metadata() or ())
        details = bytes(trailing.get("grpc-status-details-bin", b""))
        return Refusal(error.code().name, error.details() or "", details, tuple(trailing))
    raise AssertionError("the call was not refused")


def send(channel: grpc.aio.Channel, method: str, raw: bytes, metadata: Any, timeout: float = 20) -> Any:
    """The running call of a method of ContactService with these bytes as its (only) request."""
    path, found = f"/{SERVICE.full_name}/{method}", SERVICE.methods_by_name.get(method)
    if found and found.client_streaming:
        return channel.stream_stream(path)(iter([raw]), metadata=metadata, timeout=timeout)
    open_call = channel.unary_stream if found and found.server_streaming else channel.unary_unary
    return open_call(path)(raw, metadata=metadata, timeout=timeout)
