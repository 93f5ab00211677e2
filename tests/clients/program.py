"""The clients in other languages: built once a session, into the checkout, and run as anybody runs them."""

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
GO = ROOT / "clients" / "go"
TYPESCRIPT = ROOT / "clients" / "typescript"
LINE = re.compile(
    r"(?P<id>ct_\w{38}) created=(?P<first>true|false) then created=false; 1 listed; "
    r"(?P<records>\d+) exported and proven, (?P<bytes>\d+) bytes, sha256 (?P<sha256>[0-9a-f]{64}); "
    r"ct_nobody: CONTACT_NOT_FOUND\n"
)
NPM_CI = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")


@dataclass(frozen=True)
class Ended:
    """What a program wrote, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Program:
    """A built client."""

    command: tuple[str, ...]

    async def run(self, address: str, token: str) -> Ended:
        environment = os.environ | {"CONTACTSERVICE_ADDRESS": address, "CONTACTSERVICE_TOKEN": token}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self.command, env=environment, stdout=pipe, stderr=pipe
        )
        out, err = await process.communicate()
        return Ended(process.returncode or 0, out.decode(), err.decode())


@cache
def build_go() -> Program:
    """Go's own cache makes the second time short."""
    needed("go")
    binary = ROOT / ".venvs" / "client-go"
    done("go", "build", "-o", str(binary), ".", cwd=GO)
    return Program((str(binary),))


@cache
def build_typescript() -> Program:
    """Compiled, and with that type-checked, each time; installed when the lock is another."""
    needed("node")
    needed("npm")
    install_packages()
    done("npm", "run", "--silent", "build", cwd=TYPESCRIPT)
    return Program(("node", str(TYPESCRIPT / "build" / "main.js")))


def install_packages() -> None:
    stamp = TYPESCRIPT / "node_modules" / "stamp"
    wanted = hashlib.sha256((TYPESCRIPT / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        done(*NPM_CI, cwd=TYPESCRIPT)
        stamp.write_text(wanted)


def needed(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"NOT TESTED: {tool} is not installed")


def done(*command: str, cwd: Path) -> str:
    """What the command wrote; fails with it when it failed."""
    ended = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, f"{' '.join(command)}:\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def said_by(ended: Ended) -> dict[str, str]:
    """The parts of the line of a program that did all it should."""
    assert (ended.code, ended.err) == (0, "")
    line = LINE.fullmatch(ended.out)
    assert line, ended.out
    return line.groupdict()
