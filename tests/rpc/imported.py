"""Imports in tests: batches, what became of their rows, and an account's contacts as an export has them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1 import errors_pb2
from contactservice.v1.contact_pb2 import Contact
from service.rpc.server import Server
from service.storage.gate import SLOTS
from tests.client import Client, request

MERGE = {"conflict": "IMPORT_CONFLICT_MERGE"}
FAIL = {"conflict": "IMPORT_CONFLICT_FAIL"}


def results(outcomes: Iterable[pb.ImportOutcome]) -> list[str]:
    """Of each outcome its result, or the reason of its refusal."""
    return [
        errors_pb2.ErrorReason.Name(each.error.reason).removeprefix("ERROR_REASON_")
        if each.result == pb.IMPORT_RESULT_REJECTED
        else pb.ImportResult.Name(each.result).removeprefix("IMPORT_RESULT_")
        for each in outcomes
    ]


async def exported(client: Client) -> list[Contact]:
    """All contacts of the account, oldest first."""
    export = client.export(format="EXPORT_FORMAT_CONTACTS")
    return [contact async for part in export for contact in part.contacts.contacts]


def without_etag(contact: Contact) -> Contact:
    kept = Contact()
    kept.CopyFrom(contact)
    kept.ClearField("etag")
    return kept


def batch(*names: str, **options: Any) -> pb.ImportContactsRequest:
    message: pb.ImportContactsRequest = request("ImportContacts", contacts=[{"name": name} for name in names])
    if options:
        message.options.MergeFrom(request("ImportContacts", options=options).options)
    return message


async def answered(call: Any, message: pb.ImportContactsRequest) -> list[str]:
    await call.write(message)
    return results((await call.read()).outcomes)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def database_busy(server: Server) -> AsyncIterator[None]:
    """No operation gets its turn: a batch stays where it is."""
    slots = server.store._gate._slots
    for _ in range(SLOTS):
        await slots.acquire()
    try:
        yield
    finally:
        for _ in range(SLOTS):
            slots.release()
