"""The indexes of a database, made for a command: what keeps them from being made is one sentence."""

from pymongo.errors import PyMongoError

from service.domain.errors import ServiceError
from service.storage.connection import connect
from service.storage.explained import explained
from service.storage.gate import Gate
from service.storage.indexes import CannotMigrate
from service.storage.store import Store


async def migrate(uri: str, name: str, seconds: float) -> set[str]:
    """Makes all that are missing, however long it takes; returns their names.

    A database that is away or refuses is found out within `seconds`. Raises CannotMigrate and
    MongodbUriInvalid.
    """
    store = Store(connect(uri, seconds, unhurried=True), name, Gate(seconds=seconds))
    try:
        return await store.migrate()
    except ServiceError as error:
        raise _cannot(error.__cause__ or error) from error
    except PyMongoError as error:
        raise _cannot(error) from error
    finally:
        await store.close()


def _cannot(error: BaseException) -> CannotMigrate:
    sentence, advice = explained(error)
    return CannotMigrate(f"the database: {sentence}; {advice}")
