"""What the database refuses for reasons of its own: no weather, no caller's fault, so a failure of ours."""

import json
import logging
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.ops.lines import LineFormatter, as_json
from service.rpc.server import Server
from service.storage.connection import connect
from tests.client import Client
from tests.rpc.serving import serving

CANARY = "canary-5be1c7"
CALLS: dict[str, dict[str, Any]] = {
    "CreateContact": {"contact": {"name": CANARY}},
    "EnsureContact": {"contact": {"name": CANARY}},
    "UpdateContact": {"contact": {"name": CANARY}},
}


class Refused:
    """A server whose database takes no contact any more, with one that it has, and its audit file."""

    def __init__(self, server: Server, client: Client, contact_id: str, trail: Path) -> None:
        self.client = client
        self.contact_id = contact_id
        self._server = server
        self._trail = trail

    @property
    def ended(self) -> dict[str, int]:
        """How many calls ended with each code that any ended with."""
        each = [counts.handled for counts in self._server._boundary.counts]
        sums = {code: sum(handled[code] for handled in each) for code in each[0]}
        return {code: count for code, count in sums.items() if count}

    @property
    def audited(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._trail.read_text().splitlines()]


@pytest_asyncio.fixture
async def refused(
    mongodb_uri: str, tokens: Path, any_token: str, account: str, tmp_path: Path
) -> AsyncIterator[Refused]:
    name, trail = "refusing-" + secrets.token_hex(6), tmp_path / "audit"
    mongo = connect(mongodb_uri)
    async with serving(mongodb_uri, tokens=tokens, database=name, audit_file=trail) as (server, channel):
        client = Client(channel, any_token, account)
        contact = await client.create()
        await mongo[name].command("collMod", "contacts", validator={"rev": {"$lt": 0}})
        yield Refused(server, client, contact.id, trail)
    await mongo.drop_database(name)
    await mongo.close()


@pytest.mark.parametrize("method", CALLS)
async def test_it_is_told_once_and_counted_as_what_it_is(
    refused: Refused, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """INTERNAL with a request id; under that one line has the frames and no text of the driver, which quotes
    the document; counted and audited as INTERNAL.
    """
    caplog.set_level(logging.INFO, "service")
    contact = CALLS[method]["contact"]
    if method == "UpdateContact":
        contact = contact | {"id": refused.contact_id}
    failed = await refused.client.failure(method, contact=contact)
    assert (failed.code, failed.reason) == ("INTERNAL", "INTERNAL")
    assert "validation" not in failed.message
    request_id = failed.metadata["request_id"]
    error, call = (each for each in caplog.records if each.__dict__.get("request_id") == request_id)
    line = LineFormatter(as_json).format(error)
    assert error.levelname == "ERROR"
    assert "pymongo.errors.WriteError (code 121; its text is withheld)" in line
    assert "service/storage/" in line
    assert "validation" not in line
    assert CANARY not in line
    assert (call.__dict__["code"], call.__dict__["reason"]) == ("INTERNAL", "INTERNAL")
    assert refused.ended == {"OK": 1, "INTERNAL": 1}
    born, audited = refused.audited
    assert (born["code"], audited["code"], audited["reason"]) == ("OK", "INTERNAL", "INTERNAL")
    assert audited["request_id"] == request_id
