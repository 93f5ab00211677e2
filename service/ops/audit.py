"""The audit trail: who did what to which contacts. A line for each event, with the fields that logs may have.

With a file, a line is in that before `write` returns, so that a killed process has told of all that it did.
Without one, it stands among the log lines, which are written a moment later.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

from service.ops import logs
from service.ops.lines import Line, LineFormatter, as_json
from service.ops.whole_lines import WholeLines

log = logging.getLogger(__name__)

_REMINDER_SECONDS = 5.0

# Of no level: no setting of the log silences it.
_trail = logging.getLogger("audit")
_trail.setLevel(logging.INFO)


class Trail:
    """Lines of this process; raises OSError when the file cannot be appended to at the start."""

    def __init__(self, path: Path | None = None) -> None:
        self._file = _Appended(path) if path else None
        self._told = float("-inf")
        self._formatter = LineFormatter(as_json)

    def write(self, make: Callable[[], Line]) -> None:
        """The line, made here or later. When the file fails, it stands among the log lines."""
        if self._file:
            try:
                self._file.append(self._formatter.text(make()).encode() + b"\n")
            except OSError as error:
                self._complain(error)
            else:
                return
        logs.tell_later(_trail, make)

    def close(self) -> None:
        if self._file:
            try:
                self._file.close()
            except OSError as error:
                self._complain(error)

    def _complain(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._told >= _REMINDER_SECONDS:
            self._told = now
            log.error("the audit file cannot be written", extra={"error": error.strerror})


def check(path: Path) -> None:
    """Raises OSError when a Trail of the file would; makes none."""
    try:
        # A pipe that nobody reads is not waited for.
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK))
    except FileNotFoundError:
        # It has no name on Linux, elsewhere for a moment.
        TemporaryFile(dir=path.parent).close()


class _Appended:
    """A file that grows by whole lines, whoever else appends to it; when it is moved away it begins anew.

    Until it can, the one that was moved away stays open, and nothing is appended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: WholeLines | None = None
        self._begin()

    def append(self, line: bytes) -> None:
        lines = self._lines
        if lines is None or self._moved():
            lines = self._begin()
        lines.write(line)

    def close(self) -> None:
        lines, self._lines = self._lines, None
        if lines:
            lines.close()

    def _begin(self) -> WholeLines:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Only now: a number that is closed and kept is soon that of a stranger's file.
        before, self._lines = self._lines, WholeLines(descriptor)
        self._stat = os.fstat(descriptor)
        if before:
            before.close()
        return self._lines

    def _moved(self) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), self._stat)
        except FileNotFoundError:
            return True
