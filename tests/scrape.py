"""The ops port as Prometheus and probes see it."""

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    text: str

    @property
    def facts(self) -> dict[str, Any]:
        return dict(json.loads(self.text))


def fetch(address: str | None, path: str, accept: str = "*/*") -> Answer:
    """The answer, whatever its status; raises OSError when nobody answers."""
    asked = urllib.request.Request(f"http://{address}{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:  # noqa: S310 (ours)
            return Answer(answer.status, answer.headers["content-type"], answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers["content-type"], error.read().decode())


async def get(address: str | None, path: str, accept: str = "*/*") -> Answer:
    """As `fetch`, where the server is in the running loop."""
    return await asyncio.to_thread(fetch, address, path, accept)


class Samples(dict[str, float]):
    """Values by the name of the sample and the values of its labels, in any order."""

    def of(self, name: str, *labels: str) -> float:
        return self[" ".join((name, *sorted(labels)))]


async def samples(address: str | None) -> Samples:
    return parsed((await get(address, "/metrics")).text)


def parsed(page: str) -> Samples:
    families = text_string_to_metric_families(page)
    return Samples(
        (" ".join((each.name, *sorted(each.labels.values()))), each.value)
        for family in families
        for each in family.samples
    )


def families_of(page: str) -> set[str]:
    """The names of a page, as FAMILIES has them, without those of the process."""
    found = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
    return {name for name in found if not name.startswith("process_")}
