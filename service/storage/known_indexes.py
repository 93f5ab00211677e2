"""Which indexes are there, as the last look has it: who needs one that is not is refused."""

import asyncio

from pymongo.asynchronous.database import AsyncDatabase

from service.domain.errors import StoreUnavailable
from service.storage import indexes
from service.storage.documents import Document
from service.storage.gate import Gate

_EMPTY_INDEXES_SECONDS = 30.0


class KnownIndexes:
    """Of one database. Before the first look nothing is known, and nobody is served."""

    def __init__(self, database: AsyncDatabase[Document], gate: Gate) -> None:
        self._database = database
        self._gate = gate
        self._missing: set[str] | None = None

    async def prepare(self) -> set[str]:
        """See Store.prepare."""
        lacking = await self._gate.look(lambda: indexes.missing(self._database))
        self._missing = {each.name for each in lacking}
        if lacking:
            unmade = await self._gate.look(lambda: indexes.on_empty(self._database, lacking))
            if unmade:
                await self._gate.look(
                    lambda: indexes.create(self._database, unmade), seconds=_EMPTY_INDEXES_SECONDS
                )
                self._missing -= {each.name for each in unmade}
        return self._missing

    async def migrate(self) -> set[str]:
        """See Store.migrate."""
        lacking = await self._gate.run(lambda: indexes.missing(self._database))
        # Without a time of the driver's, which would wait as long for a database that has gone meanwhile.
        making = self._gate.own(lambda: indexes.create(self._database, lacking), timed=False)
        await asyncio.shield(making)
        self._missing = set()
        return {each.name for each in lacking}

    def check(self, name: str) -> None:
        """Raises StoreUnavailable for one that is missing."""
        if self._missing is None:
            raise StoreUnavailable(asked=False)
        if name in self._missing:
            raise indexes.unavailable(name)
