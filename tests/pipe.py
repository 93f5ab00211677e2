"""A pipe that is full, and that nobody reads before it is asked to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from select import PIPE_BUF


class FullPipe:
    """Who writes to `entrance` waits until somebody reads `lines`."""

    def __init__(self) -> None:
        self._exit, self.entrance = os.pipe()
        os.set_blocking(self.entrance, False)
        self._filled = sum(self._fill(size) for size in (PIPE_BUF, 1))
        os.set_blocking(self.entrance, True)

    def lines(self) -> Iterator[str]:
        """What was written since it was full, until the last writer has closed it."""
        with os.fdopen(os.dup(self._exit), "rb") as file:
            file.read(self._filled)
            for line in file:
                yield line.decode().rstrip("\n")

    def close(self) -> None:
        os.close(self._exit)
        os.close(self.entrance)

    def _fill(self, size: int) -> int:
        filled = 0
        with suppress(BlockingIOError):
            while True:
                filled += os.write(self.entrance, b"x" * size)
        return filled


@contextmanager
def full_pipe() -> Iterator[FullPipe]:
    pipe = FullPipe()
    try:
        yield pipe
    finally:
        pipe.close()
