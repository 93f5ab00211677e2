"""How late the event loop of our service was, and how long it worked at a stretch, as its metrics tell."""

import math
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

LAG, WORK = "contactservice_event_loop_lag_seconds", "contactservice_event_loop_work_seconds"


@dataclass(frozen=True)
class Ticks:
    """How many ticks of the loop's timer had at most so many seconds of lag or work, by these bounds."""

    ticks: Mapping[float, float]

    @classmethod
    def now(cls, ops_address: str, metric: str) -> Self:
        with urllib.request.urlopen(f"http://{ops_address}/metrics", timeout=10) as page:
            return cls.of(page.read().decode(), metric)

    @classmethod
    def of(cls, page: str, metric: str) -> Self:
        families = {family.name: family for family in text_string_to_metric_families(page)}
        buckets = [sample for sample in families[metric].samples if sample.name.endswith("_bucket")]
        return cls({float(sample.labels["le"]): sample.value for sample in buckets})

    def since(self, before: "Ticks") -> "Ticks":
        return Ticks({bound: count - before.ticks[bound] for bound, count in self.ticks.items()})

    def __add__(self, other: "Ticks") -> "Ticks":
        return Ticks({bound: count + other.ticks[bound] for bound, count in self.ticks.items()})

    @property
    def longest(self) -> float:
        """The least bound in milliseconds that no tick was above."""
        return 1000 * min(bound for bound, count in self.ticks.items() if count == self.ticks[math.inf])

    def above(self, seconds: float) -> str:
        """How many of how many ticks were above this bound."""
        return f"{self.ticks[math.inf] - self.ticks[seconds]:.0f} of {self.ticks[math.inf]:.0f}"
