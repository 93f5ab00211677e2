"""`contactservice serve` as a child of this process: started, waited for, stopped. It knows no contacts."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

READY_SECONDS = 60
STOP_SECONDS = 30
POLL_SECONDS = 0.02
LAST_WORDS = 20
LOG_BYTES = 10_000_000
PR_SET_PDEATHSIG = 1


class ServerEnded(Exception):
    """The service is gone; `code` is its exit code, the message what it said last."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Ready:
    """Where the service listens, for calls and for probes, and which database it uses."""

    address: str
    ops_address: str | None
    mongodb_uri: str
    database: str


class Server:
    """One service, whose output goes to the end of service.log in its data directory."""

    def __init__(self, flags: list[str], data_dir: Path, ready_file: Path) -> None:
        """Starts it; must be called before this process has other threads."""
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        ready_file.unlink(missing_ok=True)
        self.ready_file = ready_file
        self.log = data_dir / "service.log"
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(data_dir / "service.log.1")
        # No balancer waits to hear that it leaves.
        places = ["--data-dir", str(data_dir), "--ready-file", str(ready_file), "--drain-delay", "0"]
        command = [sys.executable, "-P", "-m", "service", "serve", *places, *flags]
        with self.log.open("ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and the user's own flags
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A process group of its own: Ctrl-C reaches this process only, which then ends the child.
                process_group=0,
                preexec_fn=end_with_parent(),  # noqa: PLW1509 - no thread runs yet
            )

    def wait_until_ready(self) -> Ready:
        """Returns when the service serves; raises ServerEnded when it gave up or took too long."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready_file.exists():
            if (code := self.process.poll()) is not None:
                raise ServerEnded(code, self.last_words())
            if time.monotonic() > deadline:
                raise ServerEnded(
                    1, f"{self.last_words()}\nThe service was not ready within {READY_SECONDS} s."
                )
            time.sleep(POLL_SECONDS)
        told = json.loads(self.ready_file.read_text())
        return Ready(**{field.name: told[field.name] for field in fields(Ready)})

    def wait(self) -> None:
        """Blocks until the service ends by itself, and raises ServerEnded then."""
        raise ServerEnded(self.process.wait(), f"{self.last_words()}\nThe service has ended by itself.")

    def stop(self) -> None:
        """Lets the service finish what it is doing; a second Ctrl-C or half a minute ends its patience."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        said = self.log.read_bytes()[self.log_start :].decode(errors="replace")
        return "\n".join(said.splitlines()[-LAST_WORDS:])


def end_with_parent() -> Callable[[], None] | None:
    """What the child does first, so that even a killed parent leaves no service behind; Linux only."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask_the_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel
