"""The RPCs: read the message, call the store, answer. Who may call and what goes wrong is the boundary's."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.contact_service_pb2_grpc import ContactServiceServicer
from service.domain import limits, validation
from service.domain.deletion import patience
from service.domain.paging import TokenSigner
from service.rpc import audited, batching, exporting, framing, importing, listing, messages, purging
from service.rpc.audited import Born
from service.rpc.auth import current_account, is_trusting
from service.rpc.inlet import Inlet
from service.rpc.outlet import Outlet, Sent
from service.rpc.requests import NewContactRequest
from service.rpc.watching import Watching
from service.storage.store import Store, StoredContact

_ELEMENTS = framing.contact_messages()

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
# The bytes of a response: a contact is encoded once, from its document.
Encoded: TypeAlias = Any


class Servicer(ContactServiceServicer):
    """contactservice.v1.ContactService. Runs behind the boundary only."""

    def __init__(self, store: Store, signer: Callable[[], Awaitable[TokenSigner]]) -> None:
        self._store = store
        self._signer = signer

    async def CreateContact(
        self, request: pb.CreateContactRequest | NewContactRequest, context: Context
    ) -> Encoded:
        draft = messages.new_contact(request.contact)
        request_id = validation.checked_request_id(request.request_id)
        return self._born(*await self._store.create(current_account(), draft, request_id))

    async def EnsureContact(
        self, request: pb.EnsureContactRequest | NewContactRequest, context: Context
    ) -> Encoded:
        draft = messages.new_contact(request.contact)
        return self._born(*await self._store.ensure(current_account(), draft))

    async def GetContact(self, request: pb.GetContactRequest, context: Context) -> Encoded:
        stored = await self._store.get(current_account(), request.id)
        return framing.answer(self._element(stored))

    async def UpdateContact(self, request: pb.UpdateContactRequest, context: Context) -> Encoded:
        change = messages.change(request, may_change_fingerprint=is_trusting())
        stored = await self._store.update(current_account(), request.contact.id, change)
        return framing.answer(self._element(stored))

    async def DeleteContact(
        self, request: pb.DeleteContactRequest, context: Context
    ) -> pb.DeleteContactResponse:
        receipt = await self._store.delete(
            current_account(),
            request.id,
            request.etag,
            allow_missing=request.allow_missing,
            patience=patience(context.time_remaining()),
        )
        return pb.DeleteContactResponse(id=request.id, receipt=messages.receipt(receipt) if receipt else None)

    async def ListContacts(
        self, request: pb.ListContactsRequest, context: Context
    ) -> pb.ListContactsResponse:
        return await listing.page(self._store, await self._signer(), current_account(), request)

    # A coroutine that writes, where the stub's type expects a generator: gRPC never closes one it leaves.
    async def ExportContacts(self, request: pb.ExportContactsRequest, context: Outlet) -> None:  # type: ignore[override]
        export = exporting.Export(self._store, await self._signer(), current_account(), request)
        async with aclosing(export.messages()) as parts:
            async for part in parts:
                await context.write(part)

    async def BatchGetContacts(self, request: pb.BatchGetContactsRequest, context: Context) -> Encoded:
        account = current_account()

        async def got(contact_id: str) -> bytes:
            return self._element(await self._store.get(account, contact_id))

        ids = batching.checked("ids", request.ids, limits.BATCH_IDS)
        return await batching.answered(ids, got, _ungot)

    async def BatchEnsureContacts(self, request: pb.BatchEnsureContactsRequest, context: Context) -> Encoded:
        account = current_account()

        async def ensured(contact: Contact) -> bytes:
            with audited.item() as told:
                stored, created = await self._store.ensure(account, messages.new_contact(contact))
                told.contact_id, told.happened = stored.id, created
            return framing.ensured(self._element(stored), created=created)

        contacts = batching.checked("contacts", request.contacts, limits.BATCH_CONTACTS)
        return await batching.answered(contacts, ensured, _ungot)

    async def BatchDeleteContacts(self, request: pb.BatchDeleteContactsRequest, context: Context) -> Encoded:
        account, clock = current_account(), asyncio.get_running_loop().time
        answer_by = clock() + patience(context.time_remaining())

        async def deleted(contact_id: str) -> bytes:
            with audited.item(contact_id):
                receipt = await self._store.delete(
                    account,
                    contact_id,
                    allow_missing=request.allow_missing,
                    patience=max(0.0, answer_by - clock()),
                )
            outcome = pb.DeleteOutcome(id=contact_id, receipt=messages.receipt(receipt) if receipt else None)
            return outcome.SerializeToString()

        ids = batching.checked("ids", request.ids, limits.BATCH_IDS)
        return await batching.answered(ids, deleted, _undeleted)

    async def CountContacts(
        self, request: pb.CountContactsRequest, context: Context
    ) -> pb.CountContactsResponse:
        count, capped = await self._store.count(*messages.counted(current_account(), request))
        return pb.CountContactsResponse(count=count, capped=capped)

    async def PurgeContacts(
        self, request: pb.PurgeContactsRequest, context: Context
    ) -> pb.PurgeContactsResponse:
        selection, limit = messages.purged(current_account(), request)
        if not request.force:
            return await purging.looked_at(self._store, selection)
        answer_by = asyncio.get_running_loop().time() + patience(context.time_remaining())
        return await purging.Purge(self._store, selection, limit, answer_by).done()

    async def WatchContacts(self, request: pb.WatchContactsRequest, context: Outlet) -> None:  # type: ignore[override]
        watching = Watching(self._store, await self._signer(), current_account(), request)
        async with aclosing(watching.messages()) as parts:
            async for part in parts:
                await context.write(part)

    async def ImportContacts(self, requests: Inlet, context: Outlet) -> None:  # type: ignore[override]
        work = importing.Import(self._store, current_account(), trusting=is_trusting())
        async for request in requests:
            answer = await work.outcomes(request)
            if answer.outcomes:
                await context.write(Sent(answer.SerializeToString(), len(answer.outcomes)))

    def _born(self, stored: StoredContact, created: bool) -> Born:
        return Born(framing.answer(self._element(stored), created=created), stored.id if created else None)

    def _element(self, stored: StoredContact) -> bytes:
        return self._store.record(stored, _ELEMENTS)


# Also an EnsureOutcome: in both the error is field 2.
def _ungot(_: object, error: pb.ItemError) -> bytes:
    return pb.GetOutcome(error=error).SerializeToString()


def _undeleted(contact_id: str, error: pb.ItemError) -> bytes:
    return pb.DeleteOutcome(id=contact_id, error=error).SerializeToString()
