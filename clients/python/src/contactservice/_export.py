"""An export: what to ask for, where to go on after a break, and the proof that all has arrived.

It reads and asks nothing itself; both clients hand it the messages and failures of their streams.
"""

import hashlib
from typing import Literal, TypeAlias, Unpack

from contactservice._errors import ContactServiceError, ExportIncomplete
from contactservice._fields import FilterTerms, Order, filter_with, order_of
from contactservice._patience import StreamPatience
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import ContactFilter
from contactservice.v1.export_pb2 import CsvOptions, ExportFormat, ExportHeader, ExportSummary

TO_FILE = """Exports into a file, as JSONL unless `format` is JSON or CSV, and returns the proven summary.

Takes what `export` takes. While it runs the data is in FILE.part; only a whole, proven export gets the name
FILE. After any end, a crash included, the same call goes on where it was.
"""
Format: TypeAlias = Literal["JSONL", "JSON", "CSV", "CONTACTS"]


class ExportState:
    """How far an export is: `records` and `bytes` so far, `resume_token` after them, `header`, `summary`."""

    def __init__(self, request: pb.ExportContactsRequest) -> None:
        self.request = request
        self.header: ExportHeader | None = None
        self.summary: ExportSummary | None = None
        self.records = 0
        self.bytes = 0
        self._is_whole = not request.resume_token
        self._patience = StreamPatience()
        self._stream = _Stream()

    def proven(self) -> ExportSummary:
        """The summary; raises ExportIncomplete as long as there is none."""
        if self.summary is None:
            raise ExportIncomplete("the export ended without a summary, so it is not known to be complete")
        return self.summary

    @property
    def resume_token(self) -> str:
        """Continues the export after the last message that was handed out."""
        return self.request.resume_token

    def begin(self) -> pb.ExportContactsRequest:
        """What to ask for now: all of it, or what is left."""
        self._stream = _Stream()
        return self.request

    def take(self, message: pb.ExportContactsResponse) -> bool:
        """True: the message has a part of the export. Raises ExportIncomplete when a summary does not fit."""
        part = message.WhichOneof("part")
        if part == "header":
            self.header = self.header or message.header
        elif part == "summary":
            self._prove(message.summary)
        else:
            self._count(message)
        return part in {"data", "contacts"}

    def pause(self, error: ContactServiceError) -> float:
        """Seconds until the stream is worth another try; raises the error when it is not."""
        return self._patience.pause(error)

    def _count(self, message: pb.ExportContactsResponse) -> None:
        self._stream.add(message)
        self.records += message.record_count
        self.bytes += len(message.data)
        self._patience.reward()
        if message.resume_token:
            self.request.resume_token = message.resume_token

    def _prove(self, summary: ExportSummary) -> None:
        self._stream.prove(summary)
        if self._is_whole:
            _same("records in all", self.records, summary.total_records)
            _same("bytes in all", self.bytes, summary.total_bytes)
        if not summary.complete and not self.request.max_records:
            raise ExportIncomplete("the summary does not call the export complete")
        self.summary = summary


class _Stream:
    """What one stream has brought."""

    def __init__(self) -> None:
        self._records = 0
        self._bytes = 0
        self._digest = hashlib.sha256()

    def add(self, message: pb.ExportContactsResponse) -> None:
        self._records += message.record_count
        self._bytes += len(message.data)
        self._digest.update(message.data)

    def prove(self, summary: ExportSummary) -> None:
        _same("records", self._records, summary.records)
        _same("bytes", self._bytes, summary.bytes)
        # Empty for messages, which no text stands for.
        _same("SHA-256", self._digest.hexdigest() if summary.sha256 else "", summary.sha256)


def _same(what: str, arrived: int | str, promised: int | str) -> None:
    if arrived != promised:
        raise ExportIncomplete(f"{what}: {arrived} arrived, the summary says {promised}")


def export(  # noqa: PLR0913 - each has a default and is given by name
    matching: ContactFilter | None = None,
    /,
    *,
    format: Format = "JSONL",  # noqa: A002 - the word of the contract
    order: Order | None = None,
    max_records: int = 0,
    csv: CsvOptions | None = None,
    resume_token: str = "",
    **terms: Unpack[FilterTerms],
) -> pb.ExportContactsRequest:
    """Streams all contacts that match, oldest first unless `order` says otherwise.

    Iterate over it for its messages, which have `data` or `contacts` and a `resume_token`, over `.text()` for
    bytes or over `.contacts()` for Contacts (format CONTACTS). It goes on by itself after a break. Only when
    the iteration ends without an error is all there: it raises ExportIncomplete when the stream has no
    summary, or when records, bytes or SHA-256 are not those of the summary.
    """
    return pb.ExportContactsRequest(
        filter=filter_with(matching, terms),
        format=ExportFormat.Value(f"EXPORT_FORMAT_{format}"),
        order=order_of(order),
        max_records=max_records,
        csv=csv,
        resume_token=resume_token,
    )
