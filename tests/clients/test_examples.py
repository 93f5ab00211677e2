"""The Python of the READMEs, run as it stands there."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.rpc import token_file
from service.rpc.auth import SCOPES
from service.rpc.server import Server

ROOT = Path(__file__).parent.parent.parent


def examples(readme: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "".join(examples("README.md")),
            r"ct_\w+ is new\nct_\w+ Annie\n1 contacts in .*proven\nCONTACT_NOT_FOUND\n",
        ),
        (examples("clients/python/README.md")[0], r"ct_\w+ is new\n"),
    ],
    ids=["README", "clients/python/README"],
)
async def test_it_does_what_it_says(
    code: str, said: str, server: Server, tokens: Path, account: str, tmp_path: Path
) -> None:
    """Against the real service, with the token where `./dev run` leaves it."""
    folder = tmp_path / ".contactservice" / "data"
    folder.mkdir(parents=True)
    token = token_file.add(tokens, account, SCOPES)
    (folder / "dev-token").write_text(token)
    code = f"token = {token!r}\n" + code.replace("127.0.0.1:50051", str(server.address))
    words = [sys.executable, "-W", "error", "-c", code]
    ended = await asyncio.to_thread(subprocess.run, words, cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(said, ended.stdout)
