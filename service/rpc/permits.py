"""Permits of streams: a stream may outlive the credentials that opened it, and then has to end."""

import asyncio
from collections.abc import Callable
from types import TracebackType

from service.domain.errors import CredentialsInvalid, ServiceError
from service.rpc.auth import KeysWanted

_LOOK_SECONDS = 1.0


class Permit:
    """While it is entered, its task runs as long as `check` raises no ServiceError, and else ends with that.

    As asyncio.timeout does it: the task is cancelled, and the cancellation becomes the error on its way out.
    """

    def __init__(
        self, permits: set["Permit"], check: Callable[[], None], *, is_endless: bool = False
    ) -> None:
        self._permits = permits
        self._check = check
        self.is_endless = is_endless
        self._refusal: ServiceError | None = None
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._permits.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._permits.discard(self)
        # Without one left over, nobody else (the client) has cancelled it, too.
        if self._task and self._refusal and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise self._refusal from error

    def look(self) -> None:
        """Withdraws the permit when the check fails."""
        if self._refusal is None and (refusal := self._refused()):
            self.withdraw(refusal)

    def withdraw(self, refusal: ServiceError) -> None:
        """Ends the task with this error; the first one counts."""
        if self._refusal is None and self._task:
            self._refusal = refusal
            self._task.cancel()

    def _refused(self) -> ServiceError | None:
        try:
            self._check()
        except ServiceError as error:
            return error
        except KeysWanted:
            # The key that had verified the token was withdrawn.
            return CredentialsInvalid()
        return None


class Permits:
    """The permits of all streams that run."""

    def __init__(self) -> None:
        self._permits: set[Permit] = set()
        self._no_endless: ServiceError | None = None

    def while_allowed(self, check: Callable[[], None], *, is_endless: bool = False) -> Permit:
        """Raises what endless streams were ended with: one may have been let in shortly before that."""
        if is_endless and self._no_endless:
            raise self._no_endless
        return Permit(self._permits, check, is_endless=is_endless)

    def withdraw_all(self, refusal: ServiceError) -> None:
        for permit in tuple(self._permits):
            permit.withdraw(refusal)

    def withdraw_endless(self, refusal: ServiceError) -> None:
        """Those of streams that end in no other way, from now on."""
        self._no_endless = refusal
        for permit in tuple(self._permits):
            if permit.is_endless:
                permit.withdraw(refusal)

    async def follow(self) -> None:
        """Checks each of them once a second; runs until it is cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for permit in tuple(self._permits):
                permit.look()
