"""Whole lines to a file or a pipe, past the buffers of Python and their locks."""

import os


class WholeLines:
    """Writes to a descriptor, which is then its own to close. Raises OSError for what is not taken, and lines
    after one that was cut off (the disk is full) begin on a line of their own.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_cut = False

    def write(self, lines: bytes) -> None:
        """One or more, each with its end. Where it can be, they are written at once."""
        if self._is_cut:
            os.write(self._descriptor, b"\n")
            self._is_cut = False
        done = os.write(self._descriptor, lines)
        while done < len(lines):
            self._is_cut = True
            done += os.write(self._descriptor, lines[done:])
        self._is_cut = False

    def close(self) -> None:
        os.close(self._descriptor)
