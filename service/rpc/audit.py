"""The audit lines of calls: when a write or deletion has ended, for each of a batch, two for a stream."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from service.domain.paging import TokenSigner
from service.ops import audit
from service.ops.audit import Trail
from service.rpc.call import Call
from service.rpc.listening import CannotServe


def trail(file: Path | None) -> Trail:
    """The lines of this process, in --audit-file where there is one; raises CannotServe."""
    try:
        return Trail(file)
    except OSError as error:
        raise _unwritable(file, error) from error


def check(file: Path) -> None:
    """Raises CannotServe where `trail` would, and makes no file."""
    try:
        audit.check(file)
    except OSError as error:
        raise _unwritable(file, error) from error


class Audit:
    """Writes them down, before the answer of a call leaves."""

    def __init__(self, trail: Trail, signer: Callable[[], Awaitable[TokenSigner]]) -> None:
        self._trail = trail
        self._signer = signer

    async def start(self, call: Call, request: Any = None) -> None:
        """A stream begins."""
        if request is not None:
            await self.mark(call, request)
        self._trail.write(call.audit_start)

    async def mark(self, call: Call, request: Any) -> None:
        """A filter is told as a hash: equal for the same filter, sent the same way.

        The hash is keyed, since a filter may hold an address, and the addresses of this world can be tried.
        """
        signer = await self._signer()
        call.filter = signer.mark(request.filter.SerializeToString(deterministic=True))

    def items(self, call: Call) -> None:
        """What became of contacts since the last look, each in a line of its own."""
        moment = time.time()
        if call.method.is_by_filter:
            call.rows += sum(item.code == "OK" for item in call.items)
        for item in call.items:
            self._trail.write(partial(call.audit_item, item, moment))
        call.items.clear()

    def end(self, call: Call) -> None:
        """Of a batch that was answered only its items are told."""
        self.items(call)
        is_told = call.method.is_of_many and not call.method.is_by_filter and call.code == "OK"
        if not is_told:
            self._trail.write(call.audit_end)


def _unwritable(file: Path | None, error: OSError) -> CannotServe:
    return CannotServe(f"--audit-file {file} cannot be written: {error.strerror}")
