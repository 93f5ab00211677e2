"""The indexes that the service stands on, who makes them, and which are missing."""

from typing import Any

from pymongo import IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, OperationFailure

from service.domain.limits import DELETION_KEPT_DAYS

CONTACTS = "contacts"
DELETIONS = "deletions"
SETTINGS = "settings"
OWN_COLLECTIONS = (CONTACTS, DELETIONS, SETTINGS)

BY_ID = "_id_"
IDENTITY = "account_fingerprint_trusted"
TERMS = "terms_id"

# By keys, since an operator may have made an index under a name of their own.
KEYS = {
    BY_ID: [("_id", 1)],
    IDENTITY: [("account", 1), ("fingerprint", 1), ("trusted", 1)],
    TERMS: [("terms", 1), ("_id", 1)],
}
_EXPIRY = "finished_at"
_DAY = 24 * 60 * 60

WANTED: dict[str, list[IndexModel]] = {
    CONTACTS: [
        IndexModel(KEYS[IDENTITY], name=IDENTITY, unique=True),
        IndexModel(KEYS[TERMS], name=TERMS),
    ],
    DELETIONS: [
        IndexModel([("finished_at", 1)], name=_EXPIRY, expireAfterSeconds=DELETION_KEPT_DAYS * _DAY),
        IndexModel([("due_at", 1), ("finished_at", 1)], name="due_at_finished_at"),
    ],
}


_CONFLICTS = {85, 86}


class CannotMigrate(Exception):
    """An index cannot be made; the sentence says what is in its way, and quotes no contact."""


async def missing(database: AsyncDatabase[Any]) -> set[str]:
    """The names of the indexes that are not there: no index has their keys in order, whole and as unique."""
    return {
        model.document["name"]
        for collection, models in WANTED.items()
        for found in [await database[collection].index_information()]
        for model in models
        if not any(_serves(model, index) for index in found.values())
    }


async def create(database: AsyncDatabase[Any], lacking: set[str]) -> None:
    """Makes those of these names; raises CannotMigrate."""
    for collection, models in WANTED.items():
        if wanted := [model for model in models if model.document["name"] in lacking]:
            try:
                await database[collection].create_indexes(wanted)
            except DuplicateKeyError as error:
                raise CannotMigrate(
                    "two contacts share account, fingerprint and class; merge or delete one of each such "
                    "pair, then run `contactservice migrate` again"
                ) from error
            except OperationFailure as error:
                if error.code not in _CONFLICTS:
                    raise
                raise CannotMigrate(
                    f"{collection} has an index on the same keys or of the same name that differs; drop it, "
                    "then run `contactservice migrate` again"
                ) from error


def _serves(model: IndexModel, found: Any) -> bool:
    wanted = model.document
    whole = not found.get("partialFilterExpression") and not found.get("sparse")
    same_keys = list(wanted["key"].items()) == [tuple(pair) for pair in found["key"]]
    return whole and same_keys and bool(found.get("unique")) >= bool(wanted.get("unique"))
