"""The load generator: built from bench/load, run as a process, its answer checked before it counts."""

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

SERVICE = "/contactservice.v1.ContactService/"
PATIENCE_SECONDS = 300


class NotBuilt(Exception):
    """There is no load generator, and why."""


class NotAnswered(Exception):
    """Some call was not answered with OK and a message: its figures mean nothing."""


@dataclass(frozen=True)
class Requests:
    """A file of requests of one method."""

    method: str
    file: Path
    count: int

    @property
    def path(self) -> str:
        """As HTTP/2 names it; methods of other services are named with them."""
        return self.method if self.method.startswith("/") else SERVICE + self.method


def find_go() -> str | None:
    beside = os.environ.get("GOROOT")
    return shutil.which("go") or (shutil.which("go", path=f"{beside}/bin") if beside else None)


def build(target: Path) -> Path:
    """Compiles the load generator; the Go module proxy is asked for the one module that it needs."""
    go = find_go()
    if go is None:
        raise NotBuilt("NO GO ON THE PATH")
    source = Path(__file__).parent / "load"
    if subprocess.run([go, "build", "-o", str(target), "."], cwd=source, check=False).returncode:  # noqa: S603
        raise NotBuilt("GO COULD NOT BUILD THE LOAD GENERATOR, see above")
    return target


def write_requests(file: Path, method: str, messages: Iterable[Message]) -> Requests:
    count = 0
    with file.open("wb") as out:
        for message in messages:
            body = message.SerializeToString()
            out.write(struct.pack(">I", len(body)) + body)
            count += 1
    return Requests(method, file, count)


class LoadGenerator:
    """Runs it, one process for each measured moment."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary

    def start(self, address: str, token: str, requests: Requests, *flags: str) -> "subprocess.Popen[str]":
        command = [
            str(self._binary),
            *("-address", address, "-method", requests.path, "-bodies", str(requests.file)),
            *("-metadata", f"authorization: Bearer {token}", *flags),
        ]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603

    def run(self, address: str, token: str, requests: Requests, *flags: str) -> dict[str, Any]:
        """One run to its end; raises NotAnswered."""
        with self.start(address, token, requests, *flags) as process:
            return finished(process, requests.method, flags)


def finished(process: "subprocess.Popen[str]", method: str, flags: Sequence[str] = ()) -> dict[str, Any]:
    """What a run says when it is over; raises NotAnswered."""
    said = outcome(process, method, flags)
    if said["statuses"].keys() != {"0"} or said["refused"] or said["empty"]:
        shown = f"statuses {said['statuses']}, refused {said['refused']}, empty {said['empty']}"
        raise NotAnswered(f"{method} {' '.join(flags)}: {shown}")
    return said


def outcome(process: "subprocess.Popen[str]", method: str, flags: Sequence[str] = ()) -> dict[str, Any]:
    """The same, however the calls were answered; raises NotAnswered when the run itself failed."""
    try:
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if process.returncode:
        raise NotAnswered(f"{method} {' '.join(flags)}: the load generator failed")
    report: dict[str, Any] = json.loads(said)
    return report
