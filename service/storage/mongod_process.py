"""mongod as a process: started so that it never outlives its parent, ended, and asked what it said.

What it is started for, and with which data, is not known here.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from service.ops.child import ending_with_us
from service.storage.mongod_binary import MongodBinary, MongodUnavailable

HOST = "127.0.0.1"
LOG_NAME = "mongod.log"

Child = subprocess.Popen[bytes]

# An empty database takes 17 MB of disk with a small journal instead of 300, and opens 0.1 s sooner. A new
# contact changes some twenty pages of indexes: by itself mongod writes them again and again, as soon as a
# twentieth of its cache waits for the next checkpoint, at 0.24 ms of a processor a contact; if a fifth may
# wait, at 0.12.
_ENGINE = (
    "log=(prealloc=false,file_max=16MB),eviction_dirty_target=20,eviction_dirty_trigger=40,"
    "eviction_updates_target=10,eviction_updates_trigger=20"
)
# Slow operations are logged with their values, which are personal data: so none counts as slow.
# A secondary, as every mongod is for a moment while it starts, would wait 15 s before it ends.
_ALWAYS = (
    *("--bind_ip", HOST, "--nounixsocket", "--quiet", "--slowms", str(2**31 - 1)),
    *("--wiredTigerEngineConfigString", _ENGINE),
    *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
)

# It is gone within 1.1 s, idle or under load, and starts again in 0.5 s. SIGKILL would take 0.1 s and leave a
# replay of up to 10 s of writes.
_WITH_ITS_PARENT = signal.SIGTERM


def spawn(binary: MongodBinary, data_dir: Path, port: int, *options: str) -> Child:
    """A new mongod on an existing directory, in a session of its own: Ctrl-C reaches the parent only."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("mongod would end with this thread: start it from the main thread")
    command = [str(binary.path), "--dbpath", str(data_dir), "--port", str(port), *_ALWAYS, *options]
    log = open_log(data_dir)
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and the chosen mongod
            ending_with_us(command, _WITH_ITS_PARENT),
            env=binary.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def end(child: Child, timeout: float = 10.0) -> None:
    """Lets it close its files, or kills it after `timeout` seconds; returns when it is gone."""
    child.terminate()
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def free_port(preferred: int = 0) -> int:
    """A loopback port that nobody listens on: the preferred one, if it is one of those."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As mongod does: connections that ended a moment ago are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                probe.listen()
            except (OSError, OverflowError):
                continue
            return int(probe.getsockname()[1])
    raise MongodUnavailable(f"No port is free on {HOST}: end processes that hold many, and start again.")


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def direct(port: int) -> MongoClient[dict[str, Any]]:
    """A client of this one member, in whatever state it is."""
    return MongoClient(
        HOST,
        port,
        directConnection=True,
        serverSelectionTimeoutMS=1_000,
        connectTimeoutMS=1_000,
        socketTimeoutMS=10_000,
    )


def open_log(data_dir: Path) -> int:
    # What mongod and its launcher print goes there too: it is their only word on an early end.
    return os.open(data_dir / LOG_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def lock_holder(data_dir: Path) -> str | None:
    """The pid, as text, of the mongod that runs on the directory; None when none does."""
    try:
        with (data_dir / "mongod.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read().strip() or "unknown"
    except FileNotFoundError:
        pass
    return None


def last_error(said: str) -> str:
    """What the log says went wrong, on one line: the last error of mongod, else the last line."""
    lines = [line for line in said.splitlines() if line.strip()]
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            if "rror" in line:
                return line
            continue
        # Assertions only repeat that it ends.
        if entry.get("s") in {"E", "F"} and entry.get("c") != "ASSERT":
            return f"{entry['msg']} {_detail(entry.get('attr') or {})}".strip()
    return lines[-1] if lines else "it said nothing"


def _detail(attributes: dict[str, Any]) -> str:
    detail = attributes.get("error") or attributes.get("reason") or attributes.get("message") or ""
    return str(detail.get("errmsg", "") if isinstance(detail, dict) else detail).strip()
