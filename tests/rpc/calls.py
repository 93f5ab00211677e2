"""One call with any metadata, and how it was refused."""

import grpc

from contactservice.v1.contact_service_pb2_grpc import ContactServiceStub
from tests.client import request
from tests.rpc.refusal import Refusal, refusal


async def listed(channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> Refusal | None:
    """How a list is refused with this metadata; None when it is answered."""
    call = ContactServiceStub(channel).ListContacts(request("ListContacts"), metadata=metadata, timeout=20)
    if await call.code() is grpc.StatusCode.OK:
        return None
    return await refusal(call)


async def outcome(channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> str:
    """The reason of the refusal, or OK."""
    answer = await listed(channel, *metadata)
    return answer.reason if answer else "OK"


def bearer(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


def account(name: str) -> tuple[str, str]:
    return "x-account-id", name
