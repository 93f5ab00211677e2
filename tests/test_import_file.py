"""The example that imports a file: as somebody runs it who restores an export."""

import asyncio
import sys
from pathlib import Path

import pytest

from service.domain import limits
from service.rpc import token_file
from service.rpc.auth import SCOPES
from service.rpc.server import Server
from tests.client import Client
from tests.people import fill
from tests.rpc.imported import exported, without_etag

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def token(tokens: Path, account: str, tmp_path: Path) -> Path:
    """A token of the test's account, in a file."""
    path = tmp_path / "token"
    path.write_text(token_file.add(tokens, account, SCOPES))
    return path


async def run(script: str, server: Server, token: Path, *more: str | Path) -> tuple[int | None, str]:
    command = [EXAMPLES / script, "--address", str(server.address), "--token-file", token, *more]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_an_exported_file_is_restored(
    client: Client, server: Server, token: Path, account: str, tmp_path: Path
) -> None:
    """Large rows and many: messages keep within their limits, and all contacts are back as they were."""
    await fill(server.store, account, count=700, size=3500)
    people, file = await exported(client), tmp_path / "people.jsonl"
    assert (await run("export_file.py", server, token, file))[0] == 0
    for start in (0, limits.BATCH_CONTACTS):
        ids = [contact.id for contact in people[start : start + limits.BATCH_CONTACTS]]
        await client.call("BatchDeleteContacts", ids=ids)
    checked = await run("import_file.py", server, token, "--validate-only", file)
    assert checked == (0, "700 rows: 700 CREATED\n")
    assert await exported(client) == []
    assert await run("import_file.py", server, token, file) == (0, "700 rows: 700 CREATED\n")
    assert list(map(without_etag, await exported(client))) == list(map(without_etag, people))
    assert await run("import_file.py", server, token, file) == (0, "700 rows: 700 FOUND\n")


async def test_refused_rows_are_told(server: Server, token: Path, tmp_path: Path) -> None:
    """With their number, reason and sentence; the exit code says that there were some."""
    file = tmp_path / "people.jsonl"
    file.write_text('{"name": "Ann"}\n{"name": null}\n{"id": "nonsense", "name": "Bob"}\n')
    code, said = await run("import_file.py", server, token, file)
    assert code == 2
    assert "row 1: NO_IDENTITY: " in said
    assert "row 2: INVALID_FIELD: contact.id: " in said
    assert said.endswith("3 rows: 1 CREATED, 2 REJECTED\n")
