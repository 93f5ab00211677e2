"""How much an account, and all together, may ask of this process. Checked before a request is parsed.

What is refused costs a few comparisons and its answer: no parsing, no coroutine, no database.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from service.domain.errors import ExportSlotsFull, RateLimited, ServiceError
from service.domain.limits import PURGE_CONTACTS
from service.domain.rates import Buckets, Rate
from service.ops.memory import MemoryGuard
from service.rpc.call import Method
from service.rpc.slots import Slots

CALLS, DELETES, EXPORTS = "calls", "deletes", "exports"
# As refusals are counted; docs/limits.md explains each, and a test compares.
LIMITS = (
    *("in_flight", "in_flight_of_account", "export_slots", "watch_slots", "memory"),
    *("rate_calls", "rate_deletes", "rate_exports"),
)
# What a call counts as, besides a call.
_KINDS = {"DeleteContact": DELETES, "ExportContacts": EXPORTS}
# Of a request of many, how many items count as what; the call itself has been counted as one.
_ITEMS: Mapping[str, Callable[[Any], Mapping[str, int]]] = {
    "BatchGetContacts": lambda request: {CALLS: len(request.ids) - 1},
    "BatchEnsureContacts": lambda request: {CALLS: len(request.contacts) - 1},
    "BatchDeleteContacts": lambda request: {CALLS: len(request.ids) - 1, DELETES: len(request.ids)},
    "PurgeContacts": lambda request: {DELETES: (request.limit or PURGE_CONTACTS) if request.force else 0},
    "ImportContacts": lambda request: {CALLS: len(request.contacts)},
}
# What a stream needs, as its refusals are counted.
_SLOTS = {
    "ExportContacts": "export_slots",
    "ImportContacts": "export_slots",
    "WatchContacts": "watch_slots",
}
# Long against a call and short for who waits: the calls under way are replaced several times in between.
_ROOM_SECONDS = 0.2
_MEMORY_SECONDS = 1.0

Leave = Callable[[], None]


class Limits:
    """Rates, calls in flight, slots of streams and memory. `refusals` counts what was refused, by LIMITS."""

    def __init__(
        self,
        in_flight: int,
        in_flight_of_account: int | None,
        slots: Mapping[str, Slots],
        buckets: Mapping[str, Buckets],
        memory: MemoryGuard,
    ) -> None:
        self.in_flight = 0
        self.refusals = Counter(dict.fromkeys(LIMITS, 0))
        self._most = in_flight
        self._most_of_account = in_flight_of_account
        self._of_account: dict[str, int] = {}
        self._slots = {method: slots[limit] for method, limit in _SLOTS.items()}
        self._buckets = buckets
        self._memory = memory
        self._leave_unnoticed: Leave = self._leave

    def enter(self, method: Method, account: str) -> Leave:
        """Lets a call in and returns what to call at its end; raises RateLimited or ExportSlotsFull."""
        if self._memory.is_short:
            self._spare_memory(method)
        if self.in_flight >= self._most:
            raise self._refused("in_flight", _no_room("This replica"))
        if self._most_of_account is not None and self._of_account.get(account, 0) >= self._most_of_account:
            raise self._refused("in_flight_of_account", _no_room("This account"))
        if method.streams:
            self._look_for_slot(method, account)
        if self._buckets:
            self._keep_rates(method, account)
        return self._entered(method, account)

    def take(self, account: str, kind: str, n: int = 1) -> None:
        """Takes n of what is counted as this kind (CALLS, DELETES, EXPORTS); raises RateLimited."""
        buckets = self._buckets.get(kind)
        wait = 0.0 if buckets is None else buckets.take(account, time.monotonic(), n)
        if wait:
            error = RateLimited(f"The rate of {kind} of this account is used up.", wait)
            raise self._refused(f"rate_{kind}", error)

    def count_items(self, method: Method, account: str, request: Any) -> None:
        """Counts what a request of many asks for; raises RateLimited."""
        if self._buckets and method.name in _ITEMS:
            for kind, items in _ITEMS[method.name](request).items():
                if items > 0:
                    self.take(account, kind, items)

    def let_in(self, method: Method, account: str, request: Any) -> None:
        """A message of a stream counts as many calls as it has items; raises RateLimited."""
        if self._memory.is_gone:
            raise self._no_memory()
        self.count_items(method, account, request)

    def _keep_rates(self, method: Method, account: str) -> None:
        self.take(account, CALLS)
        if kind := _KINDS.get(method.name):
            self.take(account, kind)

    def _spare_memory(self, method: Method) -> None:
        if method.streams:
            raise self._refused("memory", ExportSlotsFull("This replica has no memory for another stream."))
        if self._memory.is_gone:
            raise self._no_memory()

    def _no_memory(self) -> ServiceError:
        error = RateLimited("This replica has no memory to spare.", _MEMORY_SECONDS)
        return self._refused("memory", error)

    def _look_for_slot(self, method: Method, account: str) -> None:
        # Before the rates: a start that finds no slot is not counted as one.
        try:
            self._slots[method.name].look(account)
        except ExportSlotsFull as error:
            self._refused(_SLOTS[method.name], error)
            raise

    def _refused(self, limit: str, error: ServiceError) -> ServiceError:
        self.refusals[limit] += 1
        return error

    def _entered(self, method: Method, account: str) -> Leave:
        self.in_flight += 1
        if self._most_of_account is None and not method.streams:
            return self._leave_unnoticed
        self._of_account[account] = self._of_account.get(account, 0) + 1
        if method.streams:
            self._slots[method.name].take(account)
        return partial(self._leave_of, method, account)

    def _leave(self) -> None:
        self.in_flight -= 1

    def _leave_of(self, method: Method, account: str) -> None:
        self.in_flight -= 1
        others = self._of_account.pop(account) - 1
        if others:
            self._of_account[account] = others
        if method.streams:
            self._slots[method.name].give_back(account)


def buckets(calls: str | None, deletes: str | None, exports: str | None) -> dict[str, Buckets]:
    """Of the rates that are set, as Rate.parse reads them."""
    texts = {CALLS: calls, DELETES: deletes, EXPORTS: exports}
    return {kind: Buckets(Rate.parse(text)) for kind, text in texts.items() if text}


def _no_room(whose: str) -> RateLimited:
    return RateLimited(f"{whose} has as many calls under way as it may.", _ROOM_SECONDS)
