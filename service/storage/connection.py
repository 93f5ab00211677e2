"""The driver's client, from the URI that an operator gives."""

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from service.storage.documents import Document
from service.storage.gate import POOL_SIZE


class MongodbUriInvalid(Exception):
    """The driver cannot use the URI; the sentence does not quote it, since it may hold a password."""


def connect(uri: str) -> AsyncMongoClient[Document]:
    """A client of the running event loop; connects at the first call. Raises MongodbUriInvalid."""
    try:
        return AsyncMongoClient(
            uri, maxPoolSize=POOL_SIZE, serverSelectionTimeoutMS=3000, appname="contactservice"
        )
    except (PyMongoError, ValueError) as error:
        kind = type(error).__name__
        raise MongodbUriInvalid(
            f"--mongodb-uri cannot be used ({kind}); expected mongodb://HOST:PORT/?replicaSet=NAME"
        ) from error
