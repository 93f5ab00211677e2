"""Both clients with the oldest versions that they promise to run with, against the real service."""

import asyncio
import sys
from pathlib import Path

import pytest

from service.rpc.server import Server
from tests.test_stubs import STUBS, run

# A life of a contact, an error with details, and an export with its proof.
SCRIPT = """
import asyncio, sys
import google.protobuf, grpc
from contactservice import AsyncContactClient, ContactClient, InvalidRequest

address, token, account = sys.argv[1:]
settings = {"token": token, "account": account, "insecure": True}

async def main():
    async with AsyncContactClient(address, **settings) as contacts:
        made = await contacts.ensure(name="Ann", metadata={"plan": "pro"})
        await contacts.update(made.contact.id, phone="1")
        assert [each.phone async for each in contacts.list(metadata={"plan": "pro"})] == ["1"]
        export = contacts.export()
        assert len([data async for data in export.text()]) == 1 == export.proven().records

asyncio.run(main())
with ContactClient(address, **settings) as contacts:
    [known] = contacts.list()
    assert not contacts.ensure(name="ann").created
    assert [each.id for each in contacts.export(format="CONTACTS").contacts()] == [known.id]
    try:
        contacts.create(name="x" * 300)
    except InvalidRequest as error:
        assert [each.field for each in error.violations] == ["contact.name"]
    contacts.delete(known.id)
    assert contacts.count().count == 0
print(grpc.__version__, google.protobuf.__version__)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_floor", [True, False], ids=["floor", "here"])
async def test_the_clients_work(
    is_floor: bool, floor_python: Path, server: Server, any_token: str, account: str
) -> None:
    """Nothing warns, as warnings are errors."""
    python = floor_python if is_floor else Path(sys.executable)
    arguments = str(server.address), any_token, account
    words = ("env", f"PYTHONPATH={STUBS}", python, "-W", "error", "-c", SCRIPT, *arguments)
    result = await asyncio.to_thread(run, *words)
    assert (result.returncode, result.stderr) == (0, "")
    assert (result.stdout.split() == ["1.76.0", "6.31.1"]) == is_floor
