"""The service as a process of its own, for what only processes can show: races, kills, signals."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class ServiceProcess:
    """`contactservice serve`, from the ready file to its end. Extra flags win over the defaults.

    Its stderr is the log, or a descriptor.
    """

    def __init__(self, folder: Path, *flags: str, stderr: int | None = None) -> None:
        self.ready_file = folder / "ready.json"
        self.log_file = folder / "log"
        self._command = [
            *(sys.executable, "-m", "service", "serve"),
            *("--address", "127.0.0.1:0"),
            *("--data-dir", str(folder / "data")),
            *("--drain-delay", "0"),
            *("--ready-file", str(self.ready_file)),
            *flags,
        ]
        self._stderr = stderr
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self.ready_file.unlink(missing_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=self._stderr or log)
        self.facts = self._ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)

    @property
    def address(self) -> str:
        return str(self.facts["address"])

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def kill(self) -> None:
        """SIGKILL: no chance to clean up."""
        self.process.kill()
        self.process.wait(30)

    def _ready(self) -> dict[str, Any]:
        deadline = time.monotonic() + 40
        while not self.ready_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"the service did not start:\n{self.log}")
            time.sleep(0.02)
        return dict(json.loads(self.ready_file.read_text()))


def flags(mongodb_uri: str, tokens: Path) -> list[str]:
    """Those of a service beside others on one database."""
    return ["--mongodb-uri", mongodb_uri, "--database", "processes", "--tokens", str(tokens)]


def eventually(condition: Any, seconds: float = 10.0) -> Any:
    """The first true value of the condition; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError("did not happen in time")
        time.sleep(0.02)
    return found
