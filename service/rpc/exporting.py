"""One stream of ExportContacts: header, chunks that each carry a resume token, and the summary as proof."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from google.protobuf.timestamp_pb2 import Timestamp

from contactservice.v1 import contact_pb2, export_pb2
from contactservice.v1.contact_service_pb2 import ExportContactsRequest, ExportContactsResponse
from service.domain import encoding, limits, paging
from service.domain.encoding import Encoder, Piece
from service.domain.errors import InvalidField, Violation
from service.domain.paging import ExportPosition, TokenSigner, WatchPosition
from service.rpc import framing, messages
from service.rpc.outlet import Sent
from service.storage.store import Store

_UNBOUNDED = 2**62
# A call needs about ten turns of the loop, and would meet each export in each of them. So a piece takes a
# fifth of a millisecond, and the next one waits some turns: with two exports at work half of all calls took
# 11 ms without both, and 6 ms with them.
_PIECE_BYTES = 64 * limits.KIB
_TURNS = 4


class Export:
    """An export of one account, from its beginning or from a token. A file is one part of it."""

    def __init__(
        self, store: Store, signer: TokenSigner, account: str, request: ExportContactsRequest
    ) -> None:
        self._store = store
        self._signer = signer
        shape = _shape(request)
        self._encoder = _encoder(*shape)
        self._is_text = request.format != export_pb2.EXPORT_FORMAT_CONTACTS
        self._selection = messages.selection(account, request, contact_pb2.CONTACT_ORDER_OLDEST_FIRST)
        self._bound = paging.binding("ExportContacts", self._selection, *shape)
        self._watch_bound = paging.watch_binding(self._selection)
        self._max_records = _max_records(request.max_records)
        self._resumed = request.resume_token and signer.export_position(request.resume_token, self._bound)
        self._hash = hashlib.sha256()

    async def messages(self) -> AsyncGenerator[Sent, None]:
        """Every message of the stream, in order. The caller closes it (aclosing)."""
        yield Sent(self._header())
        start = self._resumed or ExportPosition(await self._store.operation_time())
        position = start
        room = 0 if start.file_closed else max(0, self._max_records - start.file_records)
        target = limits.EXPORT_FIRST_MESSAGE_BYTES
        gathered = _Gathered()
        complete = True
        found = self._store.records(self._selection, self._encoder, start.after, room + 1)
        async with aclosing(found) as parts:
            async for records in parts:
                while records and room:
                    piece = records.take(min(target - gathered.size, _PIECE_BYTES), room)
                    gathered.add(piece)
                    await _let_others()
                    room -= piece.records
                    if gathered.size >= target:
                        message, position = self._chunk(gathered, position)
                        yield message
                        gathered, target = _Gathered(), limits.EXPORT_MESSAGE_BYTES
                if records:
                    complete = False
                    break
        if gathered.records:
            message, position = self._chunk(gathered, position)
            yield message
        closing = self._encoder.tail if position.file_records else self._encoder.empty
        if closing and not start.file_closed:
            position = replace(position, file_closed=True, bytes=position.bytes + len(closing))
            yield self._message([closing], 0, position)
        yield Sent(self._summary(start, position, complete=complete))

    def _header(self) -> bytes:
        read_time = Timestamp()
        read_time.GetCurrentTime()
        read_time.nanos -= read_time.nanos % 1_000_000
        header = export_pb2.ExportHeader(
            content_type=self._encoder.content_type, columns=self._encoder.columns, read_time=read_time
        )
        return ExportContactsResponse(header=header).SerializeToString()

    def _chunk(self, gathered: "_Gathered", before: ExportPosition) -> tuple[Sent, ExportPosition]:
        encoder = self._encoder
        texts = [
            encoder.separator if before.file_records else encoder.head,
            *gathered.texts(encoder.separator),
        ]
        position = replace(
            before,
            after=gathered.last_id,
            records=before.records + gathered.records,
            bytes=before.bytes + (sum(map(len, texts)) if self._is_text else 0),
            file_records=before.file_records + gathered.records,
        )
        return self._message(texts, gathered.records, position), position

    def _message(self, texts: list[bytes], records: int, position: ExportPosition) -> Sent:
        token = self._token(position)
        if not self._is_text:
            return Sent(framing.contacts_message(texts, records, token), records)
        for text in texts:
            self._hash.update(text)
        return Sent(framing.data_message(texts, records, token), records)

    def _summary(self, start: ExportPosition, end: ExportPosition, *, complete: bool) -> bytes:
        next_part = replace(end, file_records=0, file_closed=False)
        summary = export_pb2.ExportSummary(
            records=end.records - start.records,
            bytes=end.bytes - start.bytes,
            sha256=self._hash.hexdigest() if self._is_text else "",
            complete=complete,
            total_records=end.records,
            total_bytes=end.bytes,
            next_part_token="" if complete else self._token(next_part),
            watch_token=self._watch_token(end.operation_time),
        )
        return ExportContactsResponse(summary=summary).SerializeToString()

    def _token(self, position: ExportPosition) -> str:
        return self._signer.sign(self._bound, position)

    def _watch_token(self, operation_time: int) -> str:
        # An unknown time would mean now, and leave a gap.
        position = WatchPosition(operation_time=operation_time)
        return self._signer.sign(self._watch_bound, position) if operation_time else ""


class _Gathered:
    """Pieces of one message."""

    def __init__(self) -> None:
        self.size = 0
        self.records = 0
        self.last_id = ""
        self._pieces: list[bytes] = []

    def add(self, piece: Piece) -> None:
        self.size += len(piece.text)
        self.records += piece.records
        self.last_id = piece.last_id
        self._pieces.append(piece.text)

    def texts(self, separator: bytes) -> list[bytes]:
        """The pieces with the separator between any two of them."""
        between = [text for piece in self._pieces for text in (separator, piece)]
        return between[1:]


async def _let_others() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _shape(request: ExportContactsRequest) -> tuple[int, bool, bool]:
    """Format, safe cells, byte order mark: what makes the same contacts another file."""
    messages.known_value("format", request.format, export_pb2.ExportFormat.values())
    messages.known_value("csv.cells", request.csv.cells, export_pb2.CsvCells.values())
    chosen = request.format or export_pb2.EXPORT_FORMAT_JSONL
    if chosen != export_pb2.EXPORT_FORMAT_CSV:
        return chosen, False, False
    return chosen, request.csv.cells != export_pb2.CSV_CELLS_RAW, request.csv.bom


def _encoder(chosen: int, safe: bool, bom: bool) -> Encoder:
    if chosen == export_pb2.EXPORT_FORMAT_CONTACTS:
        return framing.contact_messages()
    if chosen == export_pb2.EXPORT_FORMAT_CSV:
        return encoding.comma_separated(safe=safe, bom=bom)
    if chosen == export_pb2.EXPORT_FORMAT_JSON:
        return encoding.json_array()
    return encoding.json_lines()


def _max_records(asked: int) -> int:
    if asked < 0:
        raise InvalidField(Violation("max_records", "must not be negative"))
    return asked or _UNBOUNDED
