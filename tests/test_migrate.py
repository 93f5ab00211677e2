"""`contactservice migrate`, and how it ends where the database does not let it: soon, with one sentence."""

import subprocess
import sys

import pytest
from pymongo import AsyncMongoClient

from service.storage.indexes import IDENTITY, TERMS
from tests.rpc.serving import NOBODY_LISTENS


def run(*flags: str) -> tuple[int, str, list[str]]:
    """Exit code, output, and the lines of complaint of the command."""
    command = [sys.executable, "-m", "service", "migrate", "--store-timeout", "1", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return ended.returncode, ended.stdout, ended.stderr.splitlines()


def sentence(*flags: str) -> str:
    """Why it could not be done: one line, exit code 1, and no password."""
    code, said, [line] = run(*flags)
    assert (code, said) == (1, "")
    assert "hunter2" not in line
    return line


async def test_indexes_are_made_and_named(mongodb_uri: str, account: str) -> None:
    """Those that a filled database lacks; the second time there is nothing to do."""
    flags = ("--mongodb-uri", mongodb_uri, "--database", account)
    async with AsyncMongoClient(mongodb_uri) as client:
        await client[account]["contacts"].insert_one({"_id": "x"})
        code, said, complaints = run(*flags)
        assert (code, complaints) == (0, [])
        assert said.startswith("made ")
        assert IDENTITY in said
        assert TERMS in said
        assert run(*flags) == (0, "nothing to do: all indexes are there\n", [])
        await client.drop_database(account)


def test_a_database_that_is_away_is_not_waited_for() -> None:
    """Within the time of an operation it is told that nobody is there."""
    uri = NOBODY_LISTENS.replace("mongodb://", "mongodb://ann:hunter2@")
    line = sentence("--mongodb-uri", uri)
    assert line.startswith("contactservice: the database: nobody there can take writes")


@pytest.mark.parametrize(
    ("user", "word"),
    [
        ("ann:hunter2@", "readWrite"),
        ("ann:hunter23@", "does not take the credentials of --mongodb-uri"),
        ("", "readWrite"),
    ],
    ids=["may only read", "wrong password", "unnamed"],
)
def test_a_database_that_refuses_is_told_by_its_reason(user: str, word: str, guarded: str) -> None:
    """A user without the right to write, a wrong password, none: each with the way out, and no trace."""
    line = sentence("--mongodb-uri", f"mongodb://{user}{guarded}/")
    assert line.startswith("contactservice: the database: ")
    assert word in line
