"""One stream of ImportContacts: which rows of a batch are worked on at once, and what is told of each."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from service.domain import importing, limits
from service.domain.errors import InvalidField, ServiceError, StoreTimeout, StoreUnavailable, Violation
from service.domain.importing import Imported, Plan, Result, Row
from service.rpc import audited, batching, messages
from service.rpc.batching import AT_ONCE, End
from service.storage.store import Store

# Reading a row takes 0.07 ms, with a hundred leaves of metadata 0.7 and at most 4: others have their turn.
_STRETCH_SECONDS = 0.002


class Import:
    """An import into one account. Rows are counted over the whole stream."""

    def __init__(self, store: Store, account: str, *, trusting: bool) -> None:
        self._store = store
        self._account = account
        self._plan = Plan(trusting=trusting)
        self._has_begun = False
        self._rows = 0

    async def outcomes(self, request: pb.ImportContactsRequest) -> pb.ImportContactsResponse:
        """What became of each row of the batch, in order.

        Raises InvalidField, or StoreTimeout or StoreUnavailable when the database answers nothing of a round.
        """
        self._begin(request)
        contacts = batching.checked("contacts", request.contacts, limits.BATCH_CONTACTS)
        ends: list[End[Imported]] = []
        for round_ in _rounds([row async for row in self._checked(contacts)]):
            done = await batching.ends(self._taken, round_)
            # What was refused unseen says nothing of the database.
            asked = [end for row, end in zip(round_, done, strict=True) if row.keys]
            if asked and (absence := batching.absence(asked)):
                raise absence
            ends += done
        first, self._rows = self._rows, self._rows + len(ends)
        return pb.ImportContactsResponse(
            outcomes=[_outcome(number, end) for number, end in enumerate(ends, first)]
        )

    def _begin(self, request: pb.ImportContactsRequest) -> None:
        if request.HasField("options"):
            if self._has_begun:
                raise InvalidField(Violation("options", "only in the first message"))
            self._plan = messages.plan(request.options, trusting=self._plan.trusting)
        self._has_begun = True

    async def _checked(self, contacts: Sequence[Contact]) -> AsyncIterator["_Checked"]:
        began = time.perf_counter()
        for contact in contacts:
            try:
                yield _Checked(importing.checked(self._account, messages.said(contact)))
            except ServiceError as error:
                yield _Checked(error)
            if time.perf_counter() - began > _STRETCH_SECONDS:
                await asyncio.sleep(0)
                began = time.perf_counter()

    async def _taken(self, checked: "_Checked") -> Imported:
        if isinstance(checked.row, ServiceError):
            raise checked.row
        if self._plan.validate_only:
            return await self._store.take_in(self._account, checked.row, self._plan)
        return await self._audited(checked.row)

    async def _audited(self, row: Row) -> Imported:
        with audited.item(row.id) as told:
            try:
                imported = await self._store.take_in(self._account, row, self._plan)
            except ServiceError as error:
                told.happened = _may_be_written(error)
                raise
            told.contact_id = imported.contact_id
            told.happened = imported.result != Result.FOUND
            return imported


class _Checked(NamedTuple):
    row: Row | ServiceError

    @property
    def keys(self) -> set[Any]:
        return set() if isinstance(self.row, ServiceError) else self.row.keys


def _rounds(rows: Sequence[_Checked]) -> Iterator[list[_Checked]]:
    # A round ends before a row of a contact that is in it: such rows are worked on in their order.
    round_: list[_Checked] = []
    keys: set[Any] = set()
    for row in rows:
        if len(round_) == AT_ONCE or not keys.isdisjoint(row.keys):
            yield round_
            round_, keys = [], set()
        round_.append(row)
        keys |= row.keys
    if round_:
        yield round_


def _may_be_written(error: ServiceError) -> bool:
    return isinstance(error, StoreTimeout) or (isinstance(error, StoreUnavailable) and error.asked)


def _outcome(number: int, end: End[Imported]) -> pb.ImportOutcome:
    if isinstance(end, ServiceError):
        error = batching.item_error(end)
        return pb.ImportOutcome(row=number, result=pb.IMPORT_RESULT_REJECTED, error=error)
    return pb.ImportOutcome(row=number, result=messages.RESULTS[end.result], id=end.contact_id)
