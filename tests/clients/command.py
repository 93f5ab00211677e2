"""The command `contacts`, as a process of its own."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTACTS = Path(sys.executable).with_name("contacts")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """The command, in an empty folder and with these variables only."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._folder = folder
        # Unbuffered output would hide a flush that is missing.
        left_out = ("CONTACTSERVICE_", "PYTHONUNBUFFERED")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        self._environment = kept | {f"CONTACTSERVICE_{name}": value for name, value in variables.items()}

    def started(self, *words: str, **streams: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [CONTACTS, *words],
            cwd=self._folder,
            env=self._environment,
            text=True,
            encoding="utf-8",
            **streams,
        )

    async def __call__(self, *words: str) -> Ended:
        process = self.started(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = await asyncio.to_thread(process.communicate, timeout=60)
        assert "Traceback" not in err
        return Ended(process.returncode, out, err)
