"""Many at once: split by the limits of a request, and asked again for what did not fit into an answer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import grpc

from contactservice._plans import Call, Plan
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.errors_pb2 import ERROR_REASON_CONTACT_NOT_FOUND, ERROR_REASON_RESPONSE_FULL

IDS_AT_ONCE = 1000
CONTACTS_AT_ONCE = 500
# A request may have 1 MiB; what frames each item is not counted.
BYTES_AT_ONCE = 900 * 1024

# Makes the call for some items; True: they were in one before, whose answer had no room for them.
_Ask: TypeAlias = Callable[[Sequence[Any], bool], Call]


def batch_get(ids: Iterable[str]) -> Plan[list[pb.GetOutcome]]:
    """One outcome for each id, in their order: a `contact`, or an `error`."""

    def ask(some: Sequence[str], _: bool) -> Call:
        return Call("BatchGetContacts", pb.BatchGetContactsRequest(ids=some))

    return (yield from _asked(list(ids), IDS_AT_ONCE, ask))


def batch_ensure(contacts: Iterable[Contact]) -> Plan[list[pb.EnsureOutcome]]:
    """One outcome for each contact, in their order: a `contact` and `created`, or an `error`.

    Who stands in it twice is one contact, as in calls one after the other.
    """

    def ask(some: Sequence[Contact], _: bool) -> Call:
        return Call("BatchEnsureContacts", pb.BatchEnsureContactsRequest(contacts=some))

    return (yield from _asked(list(contacts), CONTACTS_AT_ONCE, ask))


def batch_delete(ids: Iterable[str], *, allow_missing: bool = False) -> Plan[list[pb.DeleteOutcome]]:
    """One outcome for each id, in their order: a `receipt`, or an `error`.

    Tried again after UNAVAILABLE only with `allow_missing`. Ids that are too many for one call go in
    several; when one of those fails its error is raised, and the same again with `allow_missing` tells all.
    """

    def ask(some: Sequence[str], is_again: bool) -> Call:
        # What did not fit may be deleted already, and then the receipt is what is wanted.
        request = pb.BatchDeleteContactsRequest(ids=some, allow_missing=allow_missing or is_again)
        return Call("BatchDeleteContacts", request, is_repeatable=request.allow_missing)

    outcomes: list[pb.DeleteOutcome] = yield from _asked(list(ids), IDS_AT_ONCE, ask)
    return outcomes if allow_missing else [_told(outcome) for outcome in outcomes]


def _asked(items: Sequence[Any], most: int, ask: _Ask) -> Plan[list[Any]]:
    outcomes: list[Any] = [None] * len(items)
    for places in _split(items, most):
        waiting, is_again = places, False
        while waiting:
            response = yield ask([items[place] for place in waiting], is_again)
            for place, outcome in zip(waiting, response.outcomes, strict=True):
                outcomes[place] = outcome
            full = [place for place in waiting if _did_not_fit(outcomes[place])]
            # An answer without any outcome would come again for ever.
            waiting, is_again = full if len(full) < len(waiting) else [], True
    return outcomes


def _split(items: Sequence[Any], most: int) -> Iterator[list[int]]:
    some: list[int] = []
    size = 0
    for place, item in enumerate(items):
        needed = len(item) if isinstance(item, str) else item.ByteSize()
        if some and (len(some) == most or size + needed > BYTES_AT_ONCE):
            yield some
            some, size = [], 0
        some.append(place)
        size += needed
    if some:
        yield some


def _did_not_fit(outcome: Any) -> bool:
    return bool(outcome.error.reason == ERROR_REASON_RESPONSE_FULL)


def _told(outcome: pb.DeleteOutcome) -> pb.DeleteOutcome:
    if outcome.WhichOneof("outcome") is None:
        outcome.error.code = grpc.StatusCode.NOT_FOUND.value[0]
        outcome.error.reason = ERROR_REASON_CONTACT_NOT_FOUND
        outcome.error.message = "no contact has this id"
    return outcome
