"""The audit lines of calls: one when a write or a deletion has ended, two for a stream."""

from collections.abc import Awaitable, Callable
from typing import Any

from service.domain.paging import TokenSigner
from service.ops.audit import Trail
from service.rpc.call import Call


class Audit:
    """Writes them down, before the answer of a call that succeeded leaves."""

    def __init__(self, trail: Trail, signer: Callable[[], Awaitable[TokenSigner]]) -> None:
        self._trail = trail
        self._signer = signer

    async def start(self, call: Call, request: Any) -> None:
        """A stream begins. Its filter is told as a hash: equal for the same filter, sent the same way.

        The hash is keyed, since a filter may hold an address, and the addresses of this world can be tried.
        """
        signer = await self._signer()
        call.filter = signer.mark(request.filter.SerializeToString(deterministic=True))
        self._trail.write(call.audit_start)

    def end(self, call: Call) -> None:
        self._trail.write(call.audit_end)
