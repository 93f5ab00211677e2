"""From a filter to a query that one index answers in the order of the ids, within one account."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from service.domain import ids, terms
from service.domain.filters import ContactFilter, Selection
from service.storage.indexes import BY_ID, IDENTITY, TERMS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Query:
    """A find: its conditions, the name of the index it must use, the sort."""

    conditions: dict[str, Any]
    index: str
    sort: list[tuple[str, int]]


def query(selection: Selection, after: str = "", until: str = "") -> Query:
    """The contacts behind the id `after`, and up to the id `until` where one is given.

    Every hit is to be checked with `filter.matches`.

    The first that is given of ids, fingerprints and terms leads, the id range follows; nothing sorts in
    memory but the at most 200 hits of a list of fingerprints.
    """
    account, wanted = selection.account, selection.filter
    conditions: list[dict[str, Any]] = [{"_id": _id_range(selection, after, until)}]
    index = BY_ID
    found = _terms(account, wanted)
    if wanted.ids is not None:
        conditions.append({"_id": {"$in": list(wanted.ids)}})
    elif wanted.fingerprints:
        index = IDENTITY
    elif found:
        index = TERMS
    conditions += found
    if wanted.fingerprints:
        conditions.append({"fingerprint": {"$in": list(wanted.fingerprints)}})
        conditions.append({"trusted": {"$in": [False, True] if wanted.trusted is None else [wanted.trusted]}})
    if updated := _range(wanted.updated_after, wanted.updated_before):
        conditions.append({"updated_at": updated})
    return Query({"account": account, "$and": conditions}, index, _order(selection))


def flags(wanted: ContactFilter) -> dict[str, Any]:
    """What a filter says of `trusted` and `verified`, by the fields themselves and not by their terms."""
    conditions: dict[str, Any] = {} if wanted.trusted is None else {"trusted": wanted.trusted}
    return (
        conditions if wanted.verified is None else conditions | {"verified_at": {"$exists": wanted.verified}}
    )


def of_range(selection: Selection, after: str) -> Query:
    """All contacts behind the id `after` among which a query of the selection looks."""
    conditions = {"account": selection.account, "_id": _id_range(selection, after)}
    return Query(conditions, BY_ID, _order(selection))


def _order(selection: Selection) -> list[tuple[str, int]]:
    return [("_id", -1 if selection.newest_first else 1)]


def _terms(account: str, wanted: ContactFilter) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if wanted.emails:
        found.append({"terms": {"$in": [terms.of_email(account, each) for each in wanted.emails]}})
    if wanted.phones:
        found.append({"terms": {"$in": [terms.of_phone(account, each) for each in wanted.phones]}})
    needed = [
        terms.of_scalar(account, condition.path, value)
        for condition in wanted.metadata
        for value in condition.values
    ]
    needed += [terms.of_path(account, path) for path in wanted.metadata_exists]
    if wanted.verified is not None:
        needed.append(terms.of_flag(account, "verified", wanted.verified))
    if wanted.trusted is not None:
        needed.append(terms.of_flag(account, "trusted", wanted.trusted))
    if needed:
        found.append({"terms": {"$all": needed}})
    return found


def _id_range(selection: Selection, after: str, until: str = "") -> dict[str, str]:
    account, wanted = selection.account, selection.filter
    start = ids.lower_bound(account, _milliseconds(wanted.created_after) if wanted.created_after else 0)
    end = ids.upper_bound(account)
    if wanted.created_before:
        end = ids.lower_bound(account, _milliseconds(wanted.created_before))
    if selection.newest_first:
        return {"$gte": max(start, until), "$lt": min(end, after) if after else end}
    behind = {"$gt": after} if after >= start else {"$gte": start}
    return behind | ({"$lte": until} if until else {"$lt": end})


def _range(start: datetime | None, end: datetime | None) -> dict[str, datetime]:
    bounds = {"$gte": start, "$lt": end}
    return {operator: moment for operator, moment in bounds.items() if moment is not None}


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
