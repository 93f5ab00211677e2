"""The clients with two replicas of which one dies."""

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.rpc.server import Server
from tests.clients.either import Either, collected, steps
from tests.people import fill
from tests.process import ServiceProcess
from tests.test_processes import flags
from tests.test_rolling_restart import fixed_port

pytestmark = pytest.mark.timeout(120)


async def test_an_export_outlives_its_replica(
    kind: Any, server: Server, mongodb_uri: str, tokens: Path, any_token: str, account: str, tmp_path: Path
) -> None:
    """Killed in the middle, it is continued by the other one: every byte, once. Calls go there, too."""
    people = await fill(server.store, account, count=20_000, size=1000)
    settings: dict[str, Any] = {"token": any_token, "account": account, "insecure": True}
    whole = Either(kind(str(server.address), **settings))
    expected = b"".join(part.data for part in await collected(whole.client.export()))
    addresses = [f"127.0.0.1:{fixed_port()}" for _ in range(2)]
    first, second = (
        ServiceProcess(
            tmp_path / address, *flags(mongodb_uri, tokens), "--database", "tests", "--address", address
        )
        for address in addresses
    )
    contacts = Either(kind(f"ipv4:{','.join(addresses)}", **settings))
    with ExitStack() as running:
        running.enter_context(first)
        export = contacts.client.export()
        digest, messages = hashlib.sha256(), 0
        async for part in steps(export):
            digest.update(part.data)
            messages += 1
            if messages == 3:
                running.enter_context(second)
                first.kill()
        assert (await contacts.get(people[0].id)).name == people[0].name
    assert digest.hexdigest() == hashlib.sha256(expected).hexdigest()
    assert export.proven().records < export.records == len(people)
    for each in (whole, contacts):
        await each.close()
