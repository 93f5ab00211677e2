"""How often something may happen: a rate, and what each account has used of it. The clock comes in."""

from dataclasses import dataclass
from typing import Final, Self

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
# Accounts that are remembered at most, twice: beyond that the longest unseen ones are forgiven early.
_GENERATION: Final = 100_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, and `per_second` more in the long run."""

    per_second: float
    burst: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `100/s`, `10/min` or `6/h`; the burst is that number, or behind a colon: `100/s:500`."""
        amount, _, rest = text.partition("/")
        unit, _, burst = rest.partition(":")
        return cls(int(amount) / _SECONDS[unit], int(burst or amount))


class Buckets:
    """The bucket of each account for one rate: a generic cell rate algorithm (GCRA), one number an account.

    The number is the moment at which the account's bucket is full again. It lies at most the time of a
    burst ahead, so who was not seen for that long has a full bucket and need not be known. Accounts are
    kept in two generations, each as long as that time, and the older one is forgotten as a whole.
    """

    def __init__(self, rate: Rate, generation: int = _GENERATION) -> None:
        self._interval = 1 / rate.per_second
        self._burst = rate.burst
        self._window = rate.burst * self._interval
        self._generation = generation
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}
        self._turn = float("-inf")

    @property
    def accounts(self) -> int:
        """How many are remembered."""
        return len(self._young) + len(self._old)

    def take(self, account: str, now: float, n: int = 1) -> float:
        """Takes n at once and returns 0, or takes nothing and returns the seconds after which they are there.

        More than a burst are never there: infinity.
        """
        if now >= self._turn or len(self._young) >= self._generation:
            self._forget(now)
        full = self._young.get(account, self._old.get(account, now))
        ahead = max(full - now, 0.0) + n * self._interval
        if ahead > self._window:
            return ahead - self._window if n <= self._burst else float("inf")
        self._young[account] = now + ahead
        return 0.0

    def _forget(self, now: float) -> None:
        unseen = now - self._turn >= self._window
        self._old = {} if unseen else self._young
        self._young = {}
        self._turn = now + self._window
