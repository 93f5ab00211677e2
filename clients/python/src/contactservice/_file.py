"""A file that an export grows into: whole and proven under its name, or not there.

While it grows the data is in FILE.part, and FILE.token says how much of it is good, where to go on, and for
which request. Called again after any end, the export goes on there.
"""

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import BinaryIO

from contactservice._errors import ExportIncomplete
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.export_pb2 import EXPORT_FORMAT_CONTACTS, ExportSummary

# After a crash this much is fetched again at most; a note with its fsync takes some milliseconds.
BYTES_BETWEEN_NOTES = 1024 * 1024


class ExportFile:
    """One export into one file. `request` gets the token to go on with."""

    def __init__(self, path: Path, request: pb.ExportContactsRequest, account: str | None) -> None:
        if request.format == EXPORT_FORMAT_CONTACTS:
            raise ValueError("messages are no text: a file takes JSONL, JSON or CSV")
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._note = path.with_name(path.name + ".token")
        self._of = _name(request, account)
        self._is_whole = not request.resume_token
        request.resume_token, self._noted = self._remembered(request.resume_token)
        self._good = request.resume_token, self._noted
        self._file = self._opened()
        # Whoever is cancelled closes the file while a thread may still be writing.
        self._lock = threading.Lock()

    def add(self, message: pb.ExportContactsResponse) -> None:
        with self._lock:
            self._file.write(message.data)
            self._good = message.resume_token, self._file.tell()
            if self._good[1] - self._noted >= BYTES_BETWEEN_NOTES:
                self._remember()

    def finish(self, summary: ExportSummary) -> None:
        """Gives the file its name, if its size is what all streams together have sent."""
        size = self._file.tell()
        if self._is_whole and size != summary.total_bytes:
            raise ExportIncomplete(
                f"{self._part} has {size} bytes, the summary says {summary.total_bytes};"
                f" remove it and {self._note} to begin anew"
            )
        with self._lock:
            self._sync()
            self._part.replace(self.path)
            self._note.unlink(missing_ok=True)
            self._noted = size

    def close(self) -> None:
        """What has arrived is kept for the next call."""
        with self._lock, self._file:
            if self._good[1] > self._noted:
                self._remember()

    def _remember(self) -> None:
        self._sync()
        token, self._noted = self._good
        beside = self._note.with_name(self._note.name + ".new")
        beside.write_text(
            json.dumps({"token": token, "bytes": self._noted, "of": self._of}), encoding="utf-8"
        )
        beside.replace(self._note)

    def _remembered(self, token: str) -> tuple[str, int]:
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            is_ours = note["of"] == self._of and self._part.stat().st_size >= note["bytes"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return token, 0
        return (note["token"], note["bytes"]) if is_ours else (token, 0)

    def _opened(self) -> BinaryIO:
        file = self._part.open("r+b" if self._noted else "wb")
        # What lies behind the note may be half a message.
        file.truncate(self._noted)
        file.seek(self._noted)
        return file

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def _name(request: pb.ExportContactsRequest, account: str | None) -> str:
    """Tells exports apart, and says nothing of what they look for."""
    return hashlib.sha256(request.SerializeToString(deterministic=True) + f"|{account}".encode()).hexdigest()
