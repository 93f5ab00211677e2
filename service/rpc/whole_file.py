"""Files that are replaced as a whole: by one at a time, and so that others see that one has changed."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def stamp(path: Path) -> tuple[int, ...] | None:
    """Another one when content, owner or mode have changed; None when the file cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    # Not the times alone: they stand still for some milliseconds.
    times, place = (found.st_mtime_ns, found.st_ctime_ns), (found.st_size, found.st_ino)
    return *times, *place, found.st_mode, found.st_uid, found.st_gid


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits for whoever changes files of the folder by this, and keeps others out; raises OSError."""
    with _opened(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def replace(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one, never half, and neither is lost with the power.

    The new one has owner and mode of the old one, as far as may be; without one it is its maker's only.
    Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _resemble(descriptor, path)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    with _opened(path.parent) as folder:
        os.fsync(folder)


def _resemble(descriptor: int, path: Path) -> None:
    try:
        former = path.stat()
    except FileNotFoundError:
        return
    # Only root gives files away; the group is kept by whoever belongs to it.
    for owner in (former.st_uid, -1):
        with suppress(OSError):
            os.fchown(descriptor, owner, former.st_gid)
            break
    os.fchmod(descriptor, former.st_mode & 0o777)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
