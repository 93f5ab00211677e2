"""How much memory this process may have, what it has, and whether that leaves room; on Linux."""

import asyncio
import ctypes
import logging
import os
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

SHORT, GONE = 0.80, 0.92
_LOOK_SECONDS = 1.0
# Control groups of version 1 say this, rounded to pages, where there is no limit.
_UNLIMITED = 2**62


class MemoryGuard:
    """Looks once a second. `is_short` from 80 % of the limit on, `is_gone` from 92 % on; both pass."""

    def __init__(self, limit: int | None, resident: Callable[[], int]) -> None:
        self.limit = limit
        self.is_short = False
        self.is_gone = False
        self._resident = resident

    async def follow(self) -> None:
        """Runs until it is cancelled."""
        while self.limit:
            self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        if not self.limit:
            return
        used = self._resident() / self.limit
        if used >= SHORT:
            # What was freed often stays with the process: only when it is handed back does the end show.
            _hand_back()
            used = self._resident() / self.limit
        before = self.is_short, self.is_gone
        self.is_short, self.is_gone = used >= SHORT, used >= GONE
        if before != (self.is_short, self.is_gone):
            log.warning(self._state(), extra={"share": round(used, 2), "limit_bytes": self.limit})

    def _state(self) -> str:
        if self.is_gone:
            return "memory is nearly used up: all calls are refused"
        return "memory is short: no export is started" if self.is_short else "memory suffices again"


def guard(limit: int | None, workers: int) -> MemoryGuard:
    """Of this limit, or else of a worker's part of what its control group may have."""
    group = control_group_limit()
    return MemoryGuard(limit or (group and group // workers), resident)


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def control_group_limit(
    membership: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """The smallest memory limit of the control groups (version 1 or 2) that this process is in."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    limits = [limit for line in lines for limit in _limits(line, mounted)]
    return min(limits, default=None)


def _limits(line: str, mounted: Path) -> list[int]:
    _, controllers, group = line.split(":", 2)
    if not controllers:
        root, name = mounted, "memory.max"
    elif "memory" in controllers.split(","):
        root, name = mounted / "memory", "memory.limit_in_bytes"
    else:
        return []
    # In a container the group may be named as the host sees it, and be the root of what is mounted.
    own = root / group.strip("/")
    places = [own, *own.parents][: len(own.parts) - len(root.parts) + 1]
    return [limit for place in places if (limit := _limit(place / name)) is not None]


def _limit(file: Path) -> int | None:
    try:
        limit = int(file.read_text())
    except (OSError, ValueError):
        return None
    return limit if limit < _UNLIMITED else None


def _hand_back() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
