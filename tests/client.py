"""How tests call the service: the generated stub, with the metadata of one token and account."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2, status_pb2

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.contact_service_pb2_grpc import ContactServiceStub


@dataclass(frozen=True)
class Failure:
    """What a failed call told: code, details, ErrorInfo and field violations."""

    code: str
    message: str
    reason: str
    metadata: dict[str, str]
    fields: list[str]


class Client:
    """The stub's methods by their names, requests as protojson-like keyword arguments.

    `await client.call("GetContact", id="ct_...")`; a failure is raised as grpc.aio.AioRpcError.
    """

    def __init__(self, channel: grpc.aio.Channel, token: str | None, account: str | None) -> None:
        self.stub = ContactServiceStub(channel)
        self.metadata: list[tuple[str, str]] = []
        if token is not None:
            self.metadata.append(("authorization", f"Bearer {token}"))
        if account is not None:
            self.metadata.append(("x-account-id", account))

    async def call(self, method: str, **fields: Any) -> Any:
        call = self.unary(method)(request(method, **fields), metadata=self.metadata, timeout=20)
        return await (anext(aiter(call)) if method == "ImportContacts" else call)

    def unary(self, method: str) -> Callable[..., Any]:
        """Takes one request, whatever the method takes."""
        call: Callable[..., Any] = getattr(self.stub, method)
        if method != "ImportContacts":
            return call
        return lambda message, **settings: call(iter([message]), **settings)

    async def create(self, request_id: str = "", **contact: Any) -> Contact:
        return (await self.call("CreateContact", contact=contact, request_id=request_id)).contact

    async def ensure(self, **contact: Any) -> tuple[Contact, bool]:
        response = await self.call("EnsureContact", contact=contact)
        return response.contact, response.created

    async def get(self, contact_id: str) -> Contact:
        return (await self.call("GetContact", id=contact_id)).contact

    async def update(self, contact: dict[str, Any], *paths: str, **fields: Any) -> Contact:
        """`paths` are the update mask, one per argument; none means no mask."""
        mask = {"update_mask": ",".join(paths)} if paths else {}
        return (await self.call("UpdateContact", contact=contact, **mask, **fields)).contact

    async def list(self, **fields: Any) -> tuple[list[Contact], str]:
        response = await self.call("ListContacts", **fields)
        return list(response.contacts), response.next_page_token

    def export(self, timeout: float | None = 30, **fields: Any) -> Any:
        """The running call: iterate it, read it or cancel it."""
        message = request("ExportContacts", **fields)
        return self.stub.ExportContacts(message, metadata=self.metadata, timeout=timeout)

    @asynccontextmanager
    async def watch(self, **fields: Any) -> AsyncIterator[Any]:
        """The running call, to read from; cancelled with the block."""
        message = request("WatchContacts", **fields)
        call = self.stub.WatchContacts(message, metadata=self.metadata, timeout=60)
        try:
            yield call
        finally:
            call.cancel()

    def importing(self, timeout: float | None = 30) -> Any:
        """The running call: write, read, end it (done_writing) or cancel it."""
        return self.stub.ImportContacts(metadata=self.metadata, timeout=timeout)

    async def load(self, *batches: Iterable[Any], **options: Any) -> Sequence[pb.ImportOutcome]:
        """The outcomes of batches of rows, dicts or messages, sent one after the other."""
        requests = [pb.ImportContactsRequest(contacts=map(row, batch)) for batch in batches]
        if options:
            ParseDict(options, requests[0].options)
        call = self.stub.ImportContacts(iter(requests), metadata=self.metadata, timeout=60)
        return [outcome async for answer in call for outcome in answer.outcomes]

    async def failure(self, method: str, **fields: Any) -> Failure:
        """How the call fails; a call that does not is a failure of the test."""
        try:
            if method in {"ExportContacts", "ImportContacts", "WatchContacts"}:
                call = self.unary(method)(request(method, **fields), metadata=self.metadata, timeout=30)
                async for _ in call:
                    pass
            else:
                await self.call(method, **fields)
        except grpc.aio.AioRpcError as error:
            return failure(error)
        raise AssertionError(f"{method} did not fail")


def row(said: dict[str, Any] | Contact) -> Contact:
    return said if isinstance(said, Contact) else ParseDict(said, Contact())


def request(method: str, **fields: Any) -> Any:
    return ParseDict(fields, getattr(pb, method + "Request")())


def failure(error: grpc.aio.AioRpcError) -> Failure:
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    if packed is not None:
        status = status_pb2.Status.FromString(bytes(packed))
        assert status.code == error.code().value[0]
        assert status.message == error.details()
        for detail in status.details:
            detail.Unpack(info)
            detail.Unpack(bad_request)
    return Failure(
        code=error.code().name,
        message=error.details() or "",
        reason=info.reason,
        metadata=dict(info.metadata),
        fields=[violation.field for violation in bad_request.field_violations],
    )
