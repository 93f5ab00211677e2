"""Refusals are counted by the limit that was reached, and each limit is explained."""

import re
from pathlib import Path

from service.rpc.limits import LIMITS
from service.rpc.server import Server
from tests.rpc.test_limits import Limited, limited, refused
from tests.scrape import samples

__all__ = ["limited"]


async def test_refusals_are_shown_by_their_limit(limited: Limited) -> None:
    """Every limit is on the page from the start, so that the first refusal by it is seen as growth."""
    async with limited(rate_calls="1/h", ops_address="127.0.0.1:0") as (server, client):
        at_first = await shown(server)
        assert at_first == dict.fromkeys(LIMITS, 0)
        await client.list()
        for _ in range(2):
            await refused(client, "ListContacts")
        assert await shown(server) == at_first | {"rate_calls": 2}


async def shown(server: Server) -> dict[str, float]:
    page = await samples(server.telemetry.ops_address)
    return {limit: page.of("contactservice_limit_refusals_total", limit) for limit in LIMITS}


def test_each_limit_is_explained() -> None:
    """The last column of docs/limits.md has the limits that refusals are counted by, and no others."""
    text = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
    assert set(re.findall(r"\| `(\w+)` \|$", text, re.MULTILINE)) == set(LIMITS)
