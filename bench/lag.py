"""How late the event loop of our service was, as its metrics tell."""

import math
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

_METRIC = "contactservice_event_loop_lag_seconds"


@dataclass(frozen=True)
class Lag:
    """How many ticks of the loop's timer were at most so many seconds late, by these bounds."""

    ticks: Mapping[float, float]

    @classmethod
    def now(cls, ops_address: str) -> Self:
        with urllib.request.urlopen(f"http://{ops_address}/metrics", timeout=10) as page:
            return cls.of(page.read().decode())

    @classmethod
    def of(cls, page: str) -> Self:
        families = {family.name: family for family in text_string_to_metric_families(page)}
        buckets = [sample for sample in families[_METRIC].samples if sample.name.endswith("_bucket")]
        return cls({float(sample.labels["le"]): sample.value for sample in buckets})

    def since(self, before: "Lag") -> "Lag":
        return Lag({bound: count - before.ticks[bound] for bound, count in self.ticks.items()})

    def __add__(self, other: "Lag") -> "Lag":
        return Lag({bound: count + other.ticks[bound] for bound, count in self.ticks.items()})

    @property
    def longest(self) -> float:
        """The least bound in milliseconds that no tick was later than."""
        return 1000 * min(bound for bound, count in self.ticks.items() if count == self.ticks[math.inf])

    def later_than(self, seconds: float) -> str:
        """How many of how many ticks were later than this bound."""
        return f"{self.ticks[math.inf] - self.ticks[seconds]:.0f} of {self.ticks[math.inf]:.0f}"
