"""What an error of the driver means to an operator: a sentence, and what to do about it.

Without the driver's text, which may quote hosts and documents.
"""

from typing import NamedTuple

from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    OperationFailure,
    ServerSelectionTimeoutError,
)

_NOT_ALLOWED, _BAD_CREDENTIALS = 13, 18
_LOOK = "see that it runs, and that host, port and replicaSet of --mongodb-uri are right"


class Explained(NamedTuple):
    """The database is the `it` of both."""

    sentence: str
    advice: str


def explained(error: BaseException) -> Explained:
    """Also of what is none of the driver's, by its class."""
    if isinstance(error, OperationFailure) and error.code in {_NOT_ALLOWED, _BAD_CREDENTIALS}:
        return _refused(error.code)
    if isinstance(error, ConfigurationError):
        return Explained("--mongodb-uri does not fit it", "correct the options of the URI")
    kind = type(error).__name__
    if isinstance(error, ServerSelectionTimeoutError):
        return Explained(f"nobody there can take writes ({kind})", _LOOK)
    if isinstance(error, ConnectionFailure):
        return Explained(f"it did not answer ({kind})", _LOOK)
    code = f", code {error.code}" if isinstance(error, OperationFailure) else ""
    return Explained(
        f"it was not done in time or refused ({kind}{code})",
        "look whether a majority of the members is up, and at the log of the database",
    )


def _refused(code: int | None) -> Explained:
    if code == _BAD_CREDENTIALS:
        return Explained("it does not take the credentials of --mongodb-uri", "correct user and password")
    return Explained(
        "the user of the URI may not do that, or it names none",
        "grant its user the role readWrite on the database",
    )
