"""One change stream of the contacts, read batch by batch; it goes on by itself when the database fails over.

Whoever takes a step may leave: the step ends in its own time, in a task of the gate's.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from service.domain import ids
from service.domain.changes import Change, Kind
from service.domain.contact import Contact
from service.domain.errors import ResumeTokenExpired
from service.domain.paging import WatchPosition
from service.storage import indexes
from service.storage.documents import OPTIONS, Document, from_document
from service.storage.gate import Gate

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument, tz_aware=True)
# A replaced contact comes from the history, as it was then. Other updates are looked up
_KINDS = {"insert": Kind.CREATED, "replace": Kind.UPDATED, "update": Kind.UPDATED, "delete": Kind.DELETED}
# InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost: there is no going on from there.
_LOST = {260, 280, 286}
# So long the database waits for news before it says that there are none.
_WAIT_MILLISECONDS = 500
# Contacts of the largest size make a batch of 5 MiB.
BATCH = 50
# Longer than an election takes with MongoDB's own settings.
_PATIENCE_SECONDS = 15.0
_PAUSE_SECONDS = 0.1


class Tail:
    """The changes behind a position, or from now on; of all accounts or, without those who are gone, of one.

    `position` is behind all that was read, and empty until that is known.
    """

    def __init__(
        self,
        database: AsyncDatabase[Document],
        gate: Gate,
        turns: asyncio.Semaphore,
        start: WatchPosition,
        account: str = "",
    ) -> None:
        self.position = start.after
        self._start = start
        self._database = database
        self._gate = gate
        self._turns = turns
        self._account = account
        self._session: AsyncClientSession | None = None
        self._cursor = 0
        # A driver's session is for one at a time.
        self._one_by_one = asyncio.Lock()
        self._is_closed = False
        self._failing_since: float | None = None

    async def step(self) -> list[Change]:
        """The next changes, BATCH at most; none when there were none for a moment, or it had to open anew.

        Raises ResumeTokenExpired, and what the gate raises once the database has been away for too long.
        """
        return await asyncio.shield(self._gate.aside(self._step))

    def close(self) -> None:
        """Ends it as soon as no step is under way; nobody waits for that."""
        self._is_closed = True
        self._gate.aside(self._close)

    async def _step(self) -> list[Change]:
        async with self._turns, self._one_by_one:
            if self._is_closed:
                return []
            try:
                changes = await self._asked()
            except PyMongoError as error:
                await self._failed(error)
                return []
        self._failing_since = None
        return changes

    async def _asked(self) -> list[Change]:
        if self._session is None:
            self._session = self._database.client.start_session(causal_consistency=False)
        command = self._more() if self._cursor else self._opening()
        reply = await self._database.command(command, codec_options=_RAW, session=self._session)
        cursor = reply["cursor"]
        self._cursor = cursor["id"]
        changes = list(_changes(cursor.get("nextBatch") or ()))
        if not self._cursor and not changes:
            # The collection was dropped or renamed.
            raise ResumeTokenExpired
        # It may begin a little before the position.
        changes = [each for each in changes if each.after > self.position]
        if self._account and changes:
            changes = await self._without_gone(changes)
        # Also of what was of no interest: a token never grows old because an account is quiet.
        self.position = max(self.position, str(cursor["postBatchResumeToken"]["_data"]))
        return changes

    async def _without_gone(self, changes: list[Change]) -> list[Change]:
        # The history is old here, and has what people were before they were deleted.
        look = {
            "find": indexes.CONTACTS,
            "filter": {"account": self._account, "_id": {"$in": [each.contact_id for each in changes]}},
            "projection": {"_id": 1},
            "hint": {"_id": 1},
            "singleBatch": True,
            "readConcern": {"level": "majority"},
        }
        reply = await self._database.command(look, session=self._session)
        there = {document["_id"] for document in reply["cursor"]["firstBatch"]}
        return [each for each in changes if each.kind is Kind.DELETED or each.contact_id in there]

    def _opening(self) -> Document:
        stream: Document = {"fullDocument": "updateLookup"}
        if self.position:
            # Not by `resumeAfter`: it has to find the very change, and that may be of another account.
            stream["startAtOperationTime"] = _time_of(self.position)
        elif at := self._start.operation_time:
            # What was read then has all up to that time: what comes is behind it.
            stream["startAtOperationTime"] = Timestamp(at >> 32, (at & 0xFFFFFFFF) + 1)
        stages = [{"$changeStream": stream}, {"$match": _conditions(self._account)}]
        return {
            "aggregate": indexes.CONTACTS,
            "pipeline": [*stages, {"$project": {"updateDescription": 0}}],
            # Nothing yet but the position that it begins at.
            "cursor": {"batchSize": 0},
            "readConcern": {"level": "majority"},
        }

    def _more(self) -> Document:
        return {
            "getMore": self._cursor,
            "collection": indexes.CONTACTS,
            "batchSize": BATCH,
            "maxTimeMS": _WAIT_MILLISECONDS,
        }

    async def _failed(self, error: PyMongoError) -> None:
        await self._end()
        if isinstance(error, OperationFailure) and error.code in _LOST:
            raise ResumeTokenExpired from error
        now = asyncio.get_running_loop().time()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > _PATIENCE_SECONDS:
            raise self._gate.weather(error) or error
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _close(self) -> None:
        async with self._one_by_one:
            await self._end()

    async def _end(self) -> None:
        cursor, self._cursor = self._cursor, 0
        session, self._session = self._session, None
        if session is None:
            return
        with suppress(PyMongoError):
            if cursor:
                command = {"killCursors": indexes.CONTACTS, "cursors": [cursor]}
                await self._database.command(command, session=session)
        await session.end_session()


def _changes(events: Iterable[RawBSONDocument]) -> Iterable[Change]:
    for event in events:
        kind, document = _KINDS[event["operationType"]], event.get("fullDocument")
        if document is None and kind is not Kind.DELETED:
            # Deleted since: that is told soon.
            continue
        yield Change(
            kind,
            event["documentKey"]["_id"],
            event["wallTime"] if "wallTime" in event else event["clusterTime"].as_datetime(),
            event["_id"]["_data"],
            len(event.raw),
            None if document is None else partial(_contact, document.raw),
        )


def _time_of(position: str) -> Timestamp:
    # A resume token is hexadecimal and sorts by time: behind the byte of its type come seconds and increment.
    return Timestamp(int(position[2:10], 16), int(position[10:18], 16))


def _conditions(account: str) -> Document:
    conditions: Document = {"operationType": {"$in": list(_KINDS)}}
    if account:
        # A deletion has nothing but the id, and that tells whose it was.
        conditions["documentKey._id"] = {"$gte": ids.prefix(account), "$lt": ids.upper_bound(account)}
    return conditions


def _contact(document: bytes) -> Contact:
    return from_document(bson.decode(document, OPTIONS))
