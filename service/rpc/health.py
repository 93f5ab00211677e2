"""Health (grpc.health.v1): "" while the process lives, the service's name while the database answers."""

import asyncio
import logging
from collections.abc import Callable

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from service.domain.errors import ServiceError
from service.storage.store import Store

log = logging.getLogger(__name__)

# What can be done about a database that does not answer: starts an own mongod again when it died.
Revive = Callable[[], object]

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_INTERVAL_SECONDS = 1.0
_REMINDER_SECONDS = 5.0
_MIGRATE = "indexes are missing on a collection that holds contacts: run `contactservice migrate`"


class Readiness:
    """Follows the database with a real ping a second and tells the health service."""

    def __init__(self, store: Store, servicer: aio.HealthServicer, service_name: str, revive: Revive) -> None:
        self._store = store
        self._servicer = servicer
        self._service_name = service_name
        self._revive = revive
        self._prepared = False
        # What keeps it from serving, as a sentence, and whether the database answered at the last look.
        self.why_not: str | None = "the database has not been looked at yet"
        self.answers = False
        self._told = float("-inf")

    async def start(self) -> None:
        await self._servicer.set("", _SERVING)
        await self._servicer.set(self._service_name, _NOT_SERVING)

    async def follow(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def look(self) -> bool:
        """One look at the database: its indexes until they are all there, then a ping."""
        try:
            if self._prepared:
                await self._store.ping()
            else:
                self._prepare(await self._store.prepare())
        except ServiceError as error:
            self.answers, self.why_not = False, "the database does not answer"
            await self._servicer.set(self._service_name, _NOT_SERVING)
            self._remind("the database does not answer", error=error.reason)
            # Blocks the loop while an own mongod starts again: nothing could be answered anyway, and its
            # parent-death signal follows the thread that starts it.
            self._revive()
            return False
        self.answers = True
        self.why_not = None if self._prepared else _MIGRATE
        await self._servicer.set(self._service_name, _SERVING)
        return True

    def _prepare(self, missing: set[str]) -> None:
        self._prepared = not missing
        if missing:
            self._remind(_MIGRATE, indexes=",".join(sorted(missing)))

    def _remind(self, text: str, **facts: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told >= _REMINDER_SECONDS:
            self._told = now
            log.warning(text, extra=facts)
