"""One stream of WatchContacts: changes as they come, and heartbeats while none do; each with a token."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from contactservice.v1.contact_service_pb2 import (
    ContactChange,
    Heartbeat,
    WatchContactsRequest,
    WatchContactsResponse,
)
from service.domain import limits, paging
from service.domain.changes import Change, Interest
from service.domain.paging import TokenSigner, WatchPosition
from service.rpc import messages
from service.rpc.outlet import Sent, look_at
from service.storage.store import Store


class Watching:
    """A watch of one account, from now on or from a token."""

    def __init__(
        self, store: Store, signer: TokenSigner, account: str, request: WatchContactsRequest
    ) -> None:
        self._store = store
        self._signer = signer
        self._account = account
        selection = messages.watched(account, request)
        self._interest = Interest(selection.filter)
        self._bound = paging.watch_binding(selection)
        self._resumed = request.resume_token and signer.watch_position(request.resume_token, self._bound)

    async def messages(self) -> AsyncGenerator[Sent, None]:
        """Every message of the stream, in order; it has no end. The caller closes it (aclosing)."""
        clock = asyncio.get_running_loop().time
        # Also for who has a token: says at once when the database is away.
        now = await self._store.operation_time()
        awaited: asyncio.Task[Change] | None = None
        with self._store.changes.watch(self._account, now, self._resumed or None) as watch:
            try:
                yield self._heartbeat(watch.position)
                sent_at = clock()
                while True:
                    if awaited is None:
                        awaited = asyncio.create_task(watch.next())
                        awaited.add_done_callback(look_at)
                    patience = sent_at + limits.WATCH_HEARTBEAT_SECONDS - clock()
                    await asyncio.wait({awaited}, timeout=max(0.0, patience))
                    if awaited.done():
                        change, awaited = awaited.result(), None
                        message = self._told(change)
                    else:
                        message = None
                    if message is None and clock() >= sent_at + limits.WATCH_HEARTBEAT_SECONDS:
                        message = self._heartbeat(watch.position)
                    if message is not None:
                        yield message
                        sent_at = clock()
            finally:
                if awaited:
                    awaited.cancel()

    def _told(self, change: Change) -> Sent | None:
        told = ContactChange(
            kind=messages.change_kind(change.kind),
            id=change.contact_id,
            change_time=messages.timestamp(change.moment),
        )
        if change.read:
            contact = change.read()
            matches = self._interest.matches(change.kind, contact)
            if matches is None:
                return None
            if matches:
                told.matches = True
                told.contact.CopyFrom(messages.contact(contact))
        return self._message(WatchContactsResponse(change=told), WatchPosition(change.after), 1)

    def _heartbeat(self, position: WatchPosition) -> Sent:
        now = datetime.now(UTC)
        moment = now.replace(microsecond=now.microsecond // 1000 * 1000)
        beat = WatchContactsResponse(heartbeat=Heartbeat(time=messages.timestamp(moment)))
        return self._message(beat, position, 0)

    def _message(self, message: WatchContactsResponse, position: WatchPosition, rows: int) -> Sent:
        message.resume_token = self._signer.sign(self._bound, position)
        return Sent(message.SerializeToString(), rows)
