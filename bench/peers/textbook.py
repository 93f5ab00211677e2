"""The servicer that a good engineer writes first: one driver call a call, one message a contact.

Written fairly: uvloop, a pool that the calls fit into, credentials by one look into a dictionary, our stubs,
our documents and our indexes, writes to a majority and its journals.

    python -m bench.peers.textbook pymongo|motor URI DATABASE TOKEN ACCOUNT
"""

import secrets
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop
from google.protobuf.json_format import MessageToDict
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from contactservice.v1 import contact_pb2, export_pb2
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_service_pb2_grpc import (
    ContactServiceServicer,
    add_ContactServiceServicer_to_server,
)
from service.domain import contact as contacts
from service.domain import identity, ids
from service.domain.contact import TEXT_FIELDS, Contact, Draft
from service.storage.documents import to_document

CLIENTS = {"pymongo": AsyncMongoClient, "motor": AsyncIOMotorClient}
POOL_SIZE = 64


def message_of(document: dict[str, Any]) -> contact_pb2.Contact:
    message = contact_pb2.Contact(
        id=document["_id"],
        fingerprint=document["fingerprint"],
        trusted=document["trusted"],
        etag=str(document["rev"]),
        **{name: document[name] for name in TEXT_FIELDS if name in document},
    )
    message.metadata.update(document.get("metadata", {}))
    message.created_at.FromDatetime(ids.created_at(document["_id"]))
    message.updated_at.FromDatetime(document["updated_at"])
    if "verified_at" in document:
        message.verified_at.FromDatetime(document["verified_at"])
    return message


def draft_of(message: contact_pb2.Contact) -> Draft:
    return Draft(
        fingerprint=message.fingerprint,
        metadata=MessageToDict(message.metadata),
        **{name: getattr(message, name) for name in TEXT_FIELDS},
    )


class Textbook(ContactServiceServicer):
    """Get, Ensure, Create and Export of one account."""

    def __init__(self, collection: Any, token: str, account: str) -> None:
        self._contacts = collection
        self._accounts = {f"Bearer {token}": account}
        self._ids = ids.IdMint(lambda: time.time_ns() // 1_000_000, secrets.randbits)

    async def GetContact(self, request: pb.GetContactRequest, context: Any) -> pb.GetContactResponse:
        account = await self._account(context)
        document = await self._contacts.find_one({"_id": request.id, "account": account})
        if document is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such contact")
        return pb.GetContactResponse(contact=message_of(document))

    async def EnsureContact(self, request: pb.EnsureContactRequest, context: Any) -> pb.EnsureContactResponse:
        account = await self._account(context)
        draft = draft_of(request.contact)
        fingerprint = draft.fingerprint or identity.derived_fingerprint(account, draft)
        key = {"account": account, "fingerprint": fingerprint, "trusted": bool(draft.fingerprint)}
        if document := await self._contacts.find_one(key):
            return pb.EnsureContactResponse(contact=message_of(document))
        try:
            document = await self._insert(account, draft, fingerprint)
        except DuplicateKeyError:
            document = await self._contacts.find_one(key)
            return pb.EnsureContactResponse(contact=message_of(document))
        return pb.EnsureContactResponse(contact=message_of(document), created=True)

    async def CreateContact(self, request: pb.CreateContactRequest, context: Any) -> pb.CreateContactResponse:
        account = await self._account(context)
        draft = draft_of(request.contact)
        fingerprint = draft.fingerprint or identity.random_fingerprint(secrets.token_bytes(20))
        try:
            document = await self._insert(account, draft, fingerprint)
        except DuplicateKeyError:
            key = {"account": account, "fingerprint": fingerprint, "trusted": bool(draft.fingerprint)}
            document = await self._contacts.find_one(key)
            return pb.CreateContactResponse(contact=message_of(document))
        return pb.CreateContactResponse(contact=message_of(document), created=True)

    async def ExportContacts(
        self, request: pb.ExportContactsRequest, context: Any
    ) -> AsyncIterator[pb.ExportContactsResponse]:
        account = await self._account(context)
        cursor = self._contacts.find({"account": account}).sort("_id", 1).limit(request.max_records)
        async for document in cursor:
            one = export_pb2.ContactList(contacts=[message_of(document)])
            yield pb.ExportContactsResponse(contacts=one, record_count=1)

    async def _account(self, context: Any) -> str:
        account = self._accounts.get(dict(context.invocation_metadata()).get("authorization", ""))
        if account is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "unknown token")
        return str(account)

    async def _insert(self, account: str, draft: Draft, fingerprint: str) -> dict[str, Any]:
        trusted = bool(draft.fingerprint)
        newborn: Contact = contacts.born(self._ids.mint(account), draft, fingerprint, trusted=trusted)
        document = to_document(account, newborn)
        await self._contacts.insert_one(document)
        return document


async def serve(driver: str, uri: str, database: str, token: str, account: str) -> None:
    client: Any = CLIENTS[driver](uri, maxPoolSize=POOL_SIZE)
    collection = client[database].get_collection(
        "contacts", read_concern=ReadConcern("majority"), write_concern=WriteConcern(w="majority", j=True)
    )
    server = grpc.aio.server()
    # Unwritten methods answer UNIMPLEMENTED, which no measure takes for an answer.
    textbook = Textbook(collection, token, account)  # type: ignore[abstract]
    add_ContactServiceServicer_to_server(textbook, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
