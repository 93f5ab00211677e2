"""The indexes that the service stands on, who makes them, and which are missing."""

from typing import Any

from pymongo import IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from service.domain.limits import DELETION_KEPT_DAYS

CONTACTS = "contacts"
DELETIONS = "deletions"
SETTINGS = "settings"

IDENTITY = "account_fingerprint_trusted"
TERMS = "terms_id"
_EXPIRY = "finished_at"
_DAY = 24 * 60 * 60

WANTED: dict[str, list[IndexModel]] = {
    CONTACTS: [
        IndexModel([("account", 1), ("fingerprint", 1), ("trusted", 1)], name=IDENTITY, unique=True),
        IndexModel([("terms", 1), ("_id", 1)], name=TERMS),
    ],
    DELETIONS: [IndexModel([("finished_at", 1)], name=_EXPIRY, expireAfterSeconds=DELETION_KEPT_DAYS * _DAY)],
}


class DuplicateContacts(Exception):
    """Two contacts share account, fingerprint and class: the unique index cannot be made."""

    def __init__(self) -> None:
        super().__init__(
            "two contacts share account, fingerprint and class; merge or delete one of each such pair, "
            "then run `contactservice migrate` again"
        )


async def missing(database: AsyncDatabase[Any]) -> set[str]:
    """The names of the indexes that do not exist as wanted (keys, order, uniqueness and name)."""
    return {
        model.document["name"]
        for collection, models in WANTED.items()
        for found in [await database[collection].index_information()]
        for model in models
        if not _same(model, found.get(model.document["name"]))
    }


async def create(database: AsyncDatabase[Any]) -> set[str]:
    """Makes what is missing, returns its names; raises DuplicateContacts."""
    made = await missing(database)
    try:
        for collection, models in WANTED.items():
            await database[collection].create_indexes(models)
    except DuplicateKeyError as error:
        raise DuplicateContacts from error
    return made


def _same(model: IndexModel, found: Any) -> bool:
    wanted = model.document
    return (
        found is not None
        and list(wanted["key"].items()) == [tuple(pair) for pair in found["key"]]
        and bool(wanted.get("unique")) == bool(found.get("unique"))
    )
