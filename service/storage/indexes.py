"""The indexes that the service stands on, who makes them, and which do not serve."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, OperationFailure

from service.domain.errors import StoreUnavailable
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
_NO_SUCH_COLLECTION = 26
_AGAIN = "then run `contactservice migrate` again"

# As listIndexes tells of it.
Index = Mapping[str, Any]


class CannotMigrate(Exception):
    """An index cannot be made; the sentence says what is in its way, and quotes no contact."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A wanted index that does not serve; `obstacle` is a sentence's part, when something is in its way."""

    collection: str
    model: IndexModel
    obstacle: str | None = None
    is_being_built: bool = False

    @property
    def name(self) -> str:
        return str(self.model.document["name"])


async def missing(database: AsyncDatabase[Any]) -> list[Missing]:
    """What does not serve: no finished index, or not only one, has the keys in order and what is wanted."""
    return [
        lack
        for collection, models in WANTED.items()
        for found in [await _listed(database, collection)]
        for model in models
        if (lack := _lack(collection, model, found))
    ]


async def on_empty(database: AsyncDatabase[Any], lacking: Iterable[Missing]) -> list[Missing]:
    """Those of them whose collection holds nothing."""
    collections = {each.collection for each in lacking}
    empty = {name for name in collections if await database[name].find_one({}, ["_id"]) is None}
    return [each for each in lacking if each.collection in empty]


async def create(database: AsyncDatabase[Any], lacking: Iterable[Missing]) -> None:
    """Makes them, and waits for those that are being built already; raises CannotMigrate."""
    for each in lacking:
        if each.obstacle:
            raise CannotMigrate(f"{each.obstacle}; drop it, {_AGAIN}")
    names = {each.name for each in lacking}
    for collection, models in WANTED.items():
        if wanted := [model for model in models if model.document["name"] in names]:
            await _create(database, collection, wanted)
    for each in await missing(database):
        if each.name in names:
            raise CannotMigrate(
                f"{each.collection} was made with a collation, which its indexes take over; make it anew "
                f"without one, {_AGAIN}"
            )


def unavailable(name: str) -> StoreUnavailable:
    """What a caller is told who needs this index while it is missing."""
    return StoreUnavailable(
        f"The contacts cannot be served in full: the index {name} is missing; run `contactservice migrate`."
    )


async def _create(database: AsyncDatabase[Any], collection: str, wanted: list[IndexModel]) -> None:
    try:
        await database[collection].create_indexes(wanted)
    except DuplicateKeyError as error:
        raise CannotMigrate(
            "two contacts share account, fingerprint and class; merge or delete one of each such "
            f"pair, {_AGAIN}"
        ) from error
    except OperationFailure as error:
        if error.code not in _CONFLICTS:
            raise
        raise CannotMigrate(
            f"{collection} has an index on the same keys or of the same name that differs; drop it, {_AGAIN}"
        ) from error


async def _listed(database: AsyncDatabase[Any], collection: str) -> list[Index]:
    # Without build UUIDs an index that is being built looks like one that serves.
    command = {"listIndexes": collection, "includeBuildUUIDs": True, "cursor": {}}
    try:
        reply = await database.command(command)
    except OperationFailure as error:
        if error.code == _NO_SUCH_COLLECTION:
            return []
        raise
    return list(reply["cursor"]["firstBatch"])


def _lack(collection: str, model: IndexModel, found: list[Index]) -> Missing | None:
    wanted = model.document
    specs = [each.get("spec", each) for each in found]
    same = [spec for spec in specs if _keys(spec) == _keys(wanted)]
    # A hint does not see hidden ones, and takes no choice between others.
    seen = [spec for spec in same if not spec.get("hidden")] or same
    for spec in seen:
        if faults := _faults(wanted, spec):
            obstacle = f"the index {spec['name']} of {collection} {' and '.join(faults)}"
            return Missing(collection, model, obstacle)
    if any(spec["name"] == wanted["name"] for spec in specs if spec not in same):
        return Missing(collection, model, f"the index {wanted['name']} of {collection} has other keys")
    if not seen:
        return Missing(collection, model)
    being_built = [each["spec"] for each in found if "spec" in each]
    return Missing(collection, model, is_being_built=True) if seen[0] in being_built else None


def _keys(spec: Index) -> list[tuple[str, Any]]:
    return list(spec["key"].items())


def _faults(wanted: Index, spec: Index) -> list[str]:
    expires = wanted.get("expireAfterSeconds")
    faults = {
        "is not unique": wanted.get("unique") and not spec.get("unique"),
        "is sparse": spec.get("sparse"),
        "is partial": "partialFilterExpression" in spec,
        "has a collation": "collation" in spec,
        "is hidden": spec.get("hidden"),
        f"does not expire documents after {expires} s": expires != spec.get("expireAfterSeconds"),
    }
    return [fault for fault, is_so in faults.items() if is_so]
