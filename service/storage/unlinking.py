"""The update that takes a contact's id out of a field, wherever a query on that field finds it.

A query on `a.b` also looks through lists of objects under `a`, and into a list of ids under `b`. `$unset`
and `$pull` do the one or the other and neither through lists: this is an expression over what is there.
"""

from typing import Any

Expression = Any


def without(path: str, contact_id: str) -> list[dict[str, Expression]]:
    """The pipeline of the update: a scalar equal to the id is removed with its key, a list loses the id."""
    top, *rest = path.split(".")
    return [{"$set": {top: _kept(f"${top}", rest, contact_id, 0)}}]


def _kept(value: Expression, path: list[str], contact_id: str, depth: int) -> Expression:
    if not path:
        return _leaf(value, contact_id)
    name, each = f"value{depth}", f"each{depth}"
    within = {"$getField": {"field": {"$literal": path[0]}, "input": f"$${each}"}}
    changed = {
        "$setField": {
            "field": {"$literal": path[0]},
            "input": f"$${each}",
            "value": _kept(within, path[1:], contact_id, depth + 1),
        }
    }
    is_object = {"$eq": [{"$type": f"$${each}"}, "object"]}
    mapped = {"$cond": [is_object, changed, f"$${each}"]}
    is_list = {"$isArray": [f"$${name}"]}
    # A single object is treated as a list of one, so that each level stands in the expression once.
    elements = {"$cond": [is_list, f"$${name}", [f"$${name}"]]}
    result = {"$map": {"input": elements, "as": each, "in": mapped}}
    is_missing = {"$eq": [{"$type": f"$${name}"}, "missing"]}
    kept = {
        "$cond": [is_missing, "$$REMOVE", {"$cond": [is_list, result, {"$arrayElemAt": [result, 0]}]}],
    }
    return {"$let": {"vars": {name: value}, "in": kept}}


def _leaf(value: Expression, contact_id: str) -> Expression:
    others = {"$filter": {"input": "$$leaf", "as": "one", "cond": {"$ne": ["$$one", contact_id]}}}
    scalar = {"$cond": [{"$eq": ["$$leaf", contact_id]}, "$$REMOVE", "$$leaf"]}
    kept = {"$cond": [{"$isArray": ["$$leaf"]}, others, scalar]}
    return {"$let": {"vars": {"leaf": value}, "in": kept}}
