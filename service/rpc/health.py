"""Health (grpc.health.v1): "" while the process lives, the service's name while the service can be of use."""

import asyncio
import logging
from collections.abc import Callable

from grpc_health.v1 import health_pb2

from service.domain.errors import ServiceError
from service.rpc.health_servicer import HealthServicer
from service.storage.store import CannotMigrate, Store

log = logging.getLogger(__name__)

# What can be done about a database of our own that has died: starts it again, and says how it ended.
Revive = Callable[[], str | None]

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_INTERVAL_SECONDS = 1.0
_REMINDER_SECONDS = 5.0
_AWAY = "the database does not answer"
_FAILED = "a look at the database failed"
_MIGRATE = "indexes are missing on a collection that holds contacts: run `contactservice migrate`"


class Readiness:
    """Looks at the database and its indexes once a second and tells the health service.

    `answers` says whether the database did at the last look.
    """

    def __init__(self, store: Store, servicer: HealthServicer, service_name: str, revive: Revive) -> None:
        self.answers = False
        self._store = store
        self._servicer = servicer
        self._service_name = service_name
        self._revive = revive
        self._prepared = False
        self._leaving = False
        self._told = float("-inf")

    def start(self) -> None:
        self._servicer.set("", _SERVING)
        self._servicer.set(self._service_name, _NOT_SERVING)

    async def follow(self) -> None:
        """Runs until it is cancelled: whatever a look ends with, the next one may find it gone."""
        while True:
            try:
                await self.look()
            except CannotMigrate as error:
                self._remind(_MIGRATE, error=str(error))
            except Exception as error:  # noqa: BLE001 (the process serves on)
                self.answers = False
                self._tell()
                self._remind(_FAILED, exc_info=error)
            await asyncio.sleep(_INTERVAL_SECONDS)

    @property
    def why_not(self) -> str | None:
        """What is missing for the service to be of full use, as a sentence's part; None when it is ready."""
        if self._leaving:
            return "draining"
        if not self.answers:
            return _AWAY
        return None if self._prepared else _MIGRATE

    def leave(self) -> None:
        """Not ready from now on, whatever the database does. The process stays alive, and says so."""
        self._leaving = True
        self._tell()

    async def look(self) -> None:
        """One look at the database: whether it answers, and what it lacks. Raises CannotMigrate."""
        ended = self._revive()
        try:
            self._heard(await self._store.prepare())
        except ServiceError as error:
            self.answers = False
            self._remind(_AWAY, error=ended or _in_short(error), refused=self._store.refused)
        except CannotMigrate:
            self.answers, self._prepared = True, False
            raise
        finally:
            self._tell()

    def _heard(self, missing: set[str]) -> None:
        if not self.answers and self._told > float("-inf"):
            log.info("the database answers again")
        self.answers, self._prepared = True, not missing
        if missing:
            self._remind(_MIGRATE, indexes=",".join(sorted(missing)))

    def _tell(self) -> None:
        # Without an index it is of use to readers: NOT_SERVING would keep them away, too.
        serves = self.answers and not self._leaving
        self._servicer.set(self._service_name, _SERVING if serves else _NOT_SERVING)

    def _remind(self, text: str, exc_info: Exception | None = None, **facts: object) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told >= _REMINDER_SECONDS:
            self._told = now
            log.warning(text, exc_info=exc_info, extra=facts)


def _in_short(error: ServiceError) -> str:
    # Without the driver's text, which may quote hosts and documents.
    if (cause := error.__cause__) is None:
        return error.reason
    code = getattr(cause, "code", None)
    return f"{error.reason} ({type(cause).__name__}{f', code {code}' if code else ''})"
