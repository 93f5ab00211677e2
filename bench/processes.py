"""The processes that are measured: how they start and end, and what /proc says they cost."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Running:
    """A server: where it listens, and its process."""

    address: str
    pid: int
    started_in: float
    ops_address: str = ""


@contextmanager
def service(folder: Path, uri: str, tokens: Path, *settings: str) -> Iterator[Running]:
    """`contactservice serve` with an ops port, these and else default settings; its log goes into a file."""
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    flags = ("--address", "127.0.0.1:0", "--mongodb-uri", uri, "--tokens", str(tokens), *settings)
    seen = ("--ops-address", "127.0.0.1:0", "--ready-file", str(ready))
    command = [sys.executable, "-m", "service", "serve", *flags, *seen]
    with (folder / "service.log").open("ab") as log, _ended(command, stdout=log, stderr=log) as process:
        began = time.perf_counter()
        _wait(process, ready.exists, folder / "service.log")
        facts = json.loads(ready.read_text())
        started_in = time.perf_counter() - began
        yield Running(facts["address"], process.pid, started_in, facts["ops_address"])


@contextmanager
def peer(folder: Path, module: str, *arguments: str) -> Iterator[Running]:
    """A module of bench.peers, which prints its port once it serves."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"bench.peers.{module}", *arguments]
    began = time.perf_counter()
    with (
        (folder / f"{module}.log").open("ab") as log,
        _ended(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        port = process.stdout.readline().strip().decode() if process.stdout else ""
        if not port:
            raise RuntimeError(f"{module} did not start: see {log.name}")
        yield Running(f"127.0.0.1:{port}", process.pid, time.perf_counter() - began)


def output(module: str, *arguments: str) -> str:
    """What a module of bench.peers prints when it runs to its end."""
    command = [sys.executable, "-m", f"bench.peers.{module}", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout  # noqa: S603


def token(tokens: Path, account: str) -> str:
    """A new token with all scopes, made as an operator makes it."""
    command = [sys.executable, "-m", "service", "token", "add", "--tokens", str(tokens), "--account", account]
    made = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603
    return made.stdout.strip()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children that live."""
    own = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(own[11]) + int(own[12])) * _TICK + sum(cpu_seconds(int(child)) for child in children)


def resident(pid: int, name: str = "VmRSS") -> float:
    """MiB of a process: now, or (VmHWM) at most since `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@contextmanager
def _ended(command: list[str], stdout: int | object, stderr: object) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=stderr)  # type: ignore[call-overload]  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the service did not start:\n{log.read_text()}")
        time.sleep(0.005)
