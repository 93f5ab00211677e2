"""One stream of ExportContacts: header, chunks that each carry a resume token, and the summary as proof."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from contactservice.v1 import contact_pb2, export_pb2
from contactservice.v1.contact_service_pb2 import ExportContactsRequest, ExportContactsResponse
from service.domain import encoding, limits, paging
from service.domain.contact import Contact
from service.domain.errors import InvalidField, Violation
from service.domain.paging import ExportPosition, TokenSigner
from service.rpc import messages
from service.storage.store import Store

_UNBOUNDED = 2**62


class Export:
    """An export of one account, from its beginning or from a token. A file is one part of it."""

    def __init__(
        self, store: Store, signer: TokenSigner, account: str, request: ExportContactsRequest
    ) -> None:
        self._store = store
        self._signer = signer
        shape = _shape(request)
        self._writer = _writer(*shape)
        self._selection = messages.selection(account, request, contact_pb2.CONTACT_ORDER_OLDEST_FIRST)
        self._bound = paging.binding("ExportContacts", self._selection, *shape)
        self._max_records = _max_records(request.max_records)
        self._resumed = request.resume_token and signer.export_position(request.resume_token, self._bound)

    async def messages(self) -> AsyncGenerator[ExportContactsResponse, None]:
        """Every message of the stream, in order. The caller closes it (aclosing)."""
        yield self._header()
        start = self._resumed or ExportPosition(await self._store.operation_time())
        position = start
        room = 0 if start.file_closed else max(0, self._max_records - start.file_records)
        target = limits.EXPORT_FIRST_MESSAGE_BYTES
        complete = True
        async with aclosing(self._store.scan(self._selection, start.after, room + 1)) as slices:
            async for contacts in slices:
                for contact in contacts[:room]:
                    self._writer.add(contact)
                    if self._writer.size >= target:
                        message, position = self._chunk(position)
                        yield message
                        target = limits.EXPORT_MESSAGE_BYTES
                complete = len(contacts) <= room
                room -= min(room, len(contacts))
        if self._writer.pending:
            message, position = self._chunk(position)
            yield message
        if not start.file_closed and (closing := self._writer.closing(begun=position.file_records > 0)):
            position = replace(position, file_closed=True, bytes=position.bytes + len(closing.data))
            closing.resume_token = self._token(position)
            yield closing
        yield self._summary(start, position, complete=complete)

    def _header(self) -> ExportContactsResponse:
        read_time = Timestamp()
        read_time.GetCurrentTime()
        read_time.nanos -= read_time.nanos % 1_000_000
        header = export_pb2.ExportHeader(
            content_type=self._writer.content_type, columns=self._writer.columns, read_time=read_time
        )
        return ExportContactsResponse(header=header)

    def _chunk(self, before: ExportPosition) -> tuple[ExportContactsResponse, ExportPosition]:
        last_id = self._writer.pending[-1]
        count = len(self._writer.pending)
        message = self._writer.message(begun=before.file_records > 0)
        position = replace(
            before,
            after=last_id,
            records=before.records + count,
            bytes=before.bytes + len(message.data),
            file_records=before.file_records + count,
        )
        message.record_count = count
        message.resume_token = self._token(position)
        return message, position

    def _summary(
        self, start: ExportPosition, end: ExportPosition, *, complete: bool
    ) -> ExportContactsResponse:
        next_part = replace(end, file_records=0, file_closed=False)
        summary = export_pb2.ExportSummary(
            records=end.records - start.records,
            bytes=end.bytes - start.bytes,
            sha256=self._writer.sha256,
            complete=complete,
            total_records=end.records,
            total_bytes=end.bytes,
            next_part_token="" if complete else self._token(next_part),
        )
        return ExportContactsResponse(summary=summary)

    def _token(self, position: ExportPosition) -> str:
        return self._signer.sign(self._bound, position)


class _Writer(Protocol):
    """Gathers contacts into messages. `pending` holds the ids of those gathered, `size` their bytes."""

    content_type: str
    columns: tuple[str, ...]
    pending: list[str]
    size: int

    @property
    def sha256(self) -> str: ...
    def add(self, contact: Contact) -> None: ...
    def message(self, *, begun: bool) -> ExportContactsResponse: ...
    def closing(self, *, begun: bool) -> ExportContactsResponse | None: ...


class _Text:
    """Messages of text; all of them, joined, are the file."""

    def __init__(self, encoder: encoding.Encoder) -> None:
        self.content_type = encoder.content_type
        self.columns = encoder.columns
        self.pending: list[str] = []
        self.size = 0
        self._encoder = encoder
        self._records: list[bytes] = []
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def add(self, contact: Contact) -> None:
        record = self._encoder.record(contact)
        self._records.append(record)
        self.pending.append(contact.id)
        self.size += len(record)

    def message(self, *, begun: bool) -> ExportContactsResponse:
        encoder = self._encoder
        text = (encoder.separator if begun else encoder.head) + encoder.separator.join(self._records)
        self._records, self.pending, self.size = [], [], 0
        return self._data(text)

    def closing(self, *, begun: bool) -> ExportContactsResponse | None:
        text = self._encoder.tail if begun else self._encoder.empty
        return self._data(text) if text else None

    def _data(self, text: bytes) -> ExportContactsResponse:
        self._hash.update(text)
        return ExportContactsResponse(data=text)


class _Contacts:
    """Messages that hold contacts as they are."""

    content_type = "application/x-protobuf; messageType=contactservice.v1.Contact"
    columns: tuple[str, ...] = ()
    sha256 = ""

    def __init__(self) -> None:
        self.pending: list[str] = []
        self.size = 0
        self._contacts: list[contact_pb2.Contact] = []

    def add(self, contact: Contact) -> None:
        message = messages.contact(contact)
        self._contacts.append(message)
        self.pending.append(contact.id)
        self.size += message.ByteSize()

    def message(self, *, begun: bool) -> ExportContactsResponse:  # noqa: ARG002 (no text, no beginning)
        contacts = export_pb2.ContactList(contacts=self._contacts)
        self._contacts, self.pending, self.size = [], [], 0
        return ExportContactsResponse(contacts=contacts)

    def closing(self, *, begun: bool) -> None:
        pass


def _shape(request: ExportContactsRequest) -> tuple[int, bool, bool]:
    """Format, safe cells, byte order mark: what makes the same contacts another file."""
    messages.known_value("format", request.format, export_pb2.ExportFormat.values())
    messages.known_value("csv.cells", request.csv.cells, export_pb2.CsvCells.values())
    chosen = request.format or export_pb2.EXPORT_FORMAT_JSONL
    if chosen != export_pb2.EXPORT_FORMAT_CSV:
        return chosen, False, False
    return chosen, request.csv.cells != export_pb2.CSV_CELLS_RAW, request.csv.bom


def _writer(chosen: int, safe: bool, bom: bool) -> _Writer:
    if chosen == export_pb2.EXPORT_FORMAT_CONTACTS:
        return _Contacts()
    if chosen == export_pb2.EXPORT_FORMAT_CSV:
        return _Text(encoding.comma_separated(safe=safe, bom=bom))
    if chosen == export_pb2.EXPORT_FORMAT_JSON:
        return _Text(encoding.json_array())
    return _Text(encoding.json_lines())


def _max_records(asked: int) -> int:
    if asked < 0:
        raise InvalidField(Violation("max_records", "must not be negative"))
    return asked or _UNBOUNDED
