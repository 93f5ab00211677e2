"""The driver's client, from the URI that an operator gives."""

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from service.storage.documents import Document
from service.storage.gate import POOL_SIZE

# What the driver is silent for beyond the time of an operation: the database ends it by itself, if it can.
_MARGIN_SECONDS = 1.0


class MongodbUriInvalid(Exception):
    """The driver cannot use the URI; the sentence does not quote it, since it may hold a password."""


def connect(uri: str, seconds: float = 5.0, *, unhurried: bool = False) -> AsyncMongoClient[Document]:
    """A client of the running event loop; connects at the first call. Raises MongodbUriInvalid.

    An operation may take `seconds`. One without a time of the driver's own ends a second later, unless it is
    `unhurried`: a path that is dead says nothing, and holds what waits for it.
    """
    patience = round((seconds + _MARGIN_SECONDS) * 1000)
    try:
        return AsyncMongoClient(
            uri,
            maxPoolSize=POOL_SIZE,
            serverSelectionTimeoutMS=3000,
            connectTimeoutMS=patience,
            socketTimeoutMS=None if unhurried else patience,
            appname="contactservice",
        )
    except (PyMongoError, ValueError) as error:
        kind = type(error).__name__
        raise MongodbUriInvalid(
            f"--mongodb-uri cannot be used ({kind}); expected mongodb://HOST:PORT/?replicaSet=NAME"
        ) from error
