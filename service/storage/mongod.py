"""A mongod of our own, for trials and tests: a child of this process, a replica set of one on loopback.

It knows nothing of contacts, and nothing of event loops: every call blocks, and comes from the main thread.
"""

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from service.storage.mongod_binary import MongodBinary, MongodUnavailable, choose
from service.storage.mongod_process import (
    HOST,
    LOG_NAME,
    Child,
    direct,
    end,
    free_port,
    last_error,
    listens,
    lock_holder,
    open_log,
    spawn,
)

__all__ = ["EmbeddedMongod", "MongodUnavailable"]

SET_NAME = "contactservice"
POLL_SECONDS = 0.02

# A quarter of the machine's memory, at most 4 GiB. With 1 GiB a third of a core wrote index pages too early,
# while 4,000 contacts a second came in.
_CACHE_GIB = min(4.0, max(0.25, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**32))
# A checkpoint each 10 s: killed under 30,000 inserts a second it is back in 3 s, with the usual 60 s in 25.
_IN_ITS_SET = (
    *("--replSet", SET_NAME, "--oplogSize", "1024"),
    *("--wiredTigerCacheSizeGB", f"{_CACHE_GIB:.2f}", "--syncdelay", "10"),
)
# Without the two jobs that would write to the data of a set, as MongoDB's manual says for moved hosts.
_WITHOUT_SET = (
    *("--setParameter", "disableLogicalSessionCacheRefresh=true"),
    *("--setParameter", "ttlMonitorEnabled=false"),
)
_PORT_ATTEMPTS = 3
_PREDECESSOR_SECONDS = 3
_LAST_WORDS_BYTES = 65_536
_PORT_TAKEN, _OTHER_VERSION = 48, 62  # exit codes of mongod
_OTHER_FORMAT = re.compile(r"unsupported WiredTiger (source )?file version")

Question = Callable[[MongoClient[dict[str, Any]]], bool]


class PortTaken(MongodUnavailable):
    """Another process was quicker."""


class EmbeddedMongod:
    """One mongod on `data_dir`, which also holds its log, mongod.log, and its port, mongod.port."""

    def __init__(self, data_dir: Path, binary: Path | None = None) -> None:
        self.data_dir = data_dir.resolve()
        self._named = binary
        self._binary: MongodBinary | None = None
        self._child: Child | None = None
        self._said_before = 0
        self._port = 0

    @property
    def uri(self) -> str:
        """Names the set: a direct connection met one that was not yet primary in 3 of 80 restarts."""
        return f"mongodb://{HOST}:{self.port}/?replicaSet={SET_NAME}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int:
        if self._child is None:
            raise RuntimeError("mongod was not started")
        return self._child.pid

    @property
    def version(self) -> str:
        return self._chosen().version

    def start(self, timeout: float = 30.0) -> None:
        """Returns when mongod is a writable primary, or raises MongodUnavailable and leaves none behind."""
        if self._child is not None and self._child.poll() is None:
            return
        deadline = time.monotonic() + timeout
        self._claim_directory(deadline)
        try:
            for _ in range(_PORT_ATTEMPTS - 1):
                with suppress(PortTaken):
                    self._start_on_free_port(deadline)
                    return
            self._start_on_free_port(deadline)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 10.0) -> None:
        """Ends mongod cleanly, by force after `timeout` seconds; does nothing when none runs."""
        child, self._child = self._child, None
        if child is not None:
            end(child, timeout)

    def restart_if_dead(self) -> str | None:
        """Starts mongod on the same port when it has ended by itself, and says how it ended.

        It is not waited for: who has a client meets it when it is ready, or finds here that it ended again.
        """
        if self._child is None or (code := self._child.poll()) is None:
            return None
        try:
            sentence = str(self._ended(code, self._said()))
            self._spawn(_IN_ITS_SET)
        except OSError as error:
            return f"mongod has ended, and {self.data_dir} cannot be used any more ({error.strerror})."
        return sentence

    def _chosen(self) -> MongodBinary:
        if self._binary is None:
            self._binary = choose(self._named, self.data_dir / "lib")
        return self._binary

    def _claim_directory(self, deadline: float) -> None:
        # The mongod of a service that was killed a moment ago needs a second to go.
        patience = min(deadline, time.monotonic() + _PREDECESSOR_SECONDS)
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(open_log(self.data_dir))
            while (holder := lock_holder(self.data_dir)) is not None:
                if time.monotonic() > patience:
                    raise self._in_use(holder)
                time.sleep(POLL_SECONDS)
        except OSError as error:
            raise MongodUnavailable(
                f"The data directory {self.data_dir} cannot be written ({error.strerror}): correct its "
                "permissions, or choose another with --data-dir."
            ) from error

    def _start_on_free_port(self, deadline: float) -> None:
        # The set's configuration names the port, so it stays the same while it can.
        record = self.data_dir / "mongod.port"
        last = record.read_text() if record.exists() else ""
        self._port = free_port(int(last) if last.isdecimal() else 0)
        if str(self._port) != last:
            record.unlink(missing_ok=True)
            if (self.data_dir / "WiredTiger").exists():
                self._move_set(deadline)
        self._run(_IN_ITS_SET, self._is_primary, deadline)
        record.write_text(str(self._port))

    def _move_set(self, deadline: float) -> None:
        # Changed before the set runs: mongod asks the stored port whether it is itself, and waits 30 s when
        # whoever listens there now is silent, before it takes a forced reconfiguration.
        self._run(_WITHOUT_SET, lambda _: True, deadline)
        with direct(self._port) as client:
            stored = client.local["system.replset"]
            for config in stored.find():
                if config["_id"] != SET_NAME or len(config["members"]) != 1:
                    raise MongodUnavailable(
                        f"The data directory {self.data_dir} belongs to the replica set {config['_id']}: "
                        "choose another with --data-dir."
                    )
                stored.update_one({}, {"$set": {"members.0.host": f"{HOST}:{self._port}"}})
        self.stop()

    def _run(self, options: tuple[str, ...], ready: Question, deadline: float) -> None:
        child = self._spawn(options)
        while not self._answers(ready):
            if (code := child.poll()) is not None:
                raise self._ended(code, self._said())
            if time.monotonic() > deadline:
                raise MongodUnavailable(
                    f"mongod was not ready in time: {self.data_dir / LOG_NAME} says what it was doing; "
                    "start again, perhaps when the machine is less busy."
                )
            time.sleep(POLL_SECONDS)

    def _spawn(self, options: tuple[str, ...]) -> Child:
        log = self.data_dir / LOG_NAME
        self._said_before = log.stat().st_size if log.exists() else 0
        self._child = spawn(self._chosen(), self.data_dir, self._port, *options)
        return self._child

    def _said(self) -> str:
        with (self.data_dir / LOG_NAME).open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._said_before, end - _LAST_WORDS_BYTES))
            return log.read().decode(errors="replace")

    def _answers(self, ready: Question) -> bool:
        if not listens(self._port):
            return False
        with suppress(PyMongoError), direct(self._port) as client:
            # Another process that took the port first may be the one that answers.
            parsed = client.admin.command("getCmdLineOpts")["parsed"]
            return parsed["storage"]["dbPath"] == str(self.data_dir) and ready(client)
        return False

    def _is_primary(self, client: MongoClient[dict[str, Any]]) -> bool:
        if client.admin.command("hello").get("isWritablePrimary"):
            return True
        # Refused, without harm, where a set exists and is still being loaded.
        member = {"_id": 0, "host": f"{HOST}:{self._port}"}
        client.admin.command("replSetInitiate", {"_id": SET_NAME, "members": [member]})
        return False

    def _in_use(self, holder: str | None) -> MongodUnavailable:
        return MongodUnavailable(
            f"The data directory {self.data_dir} is in use by a mongod (pid {holder or 'unknown'}): stop the "
            "service that runs there, or choose another with --data-dir."
        )

    def _ended(self, code: int, said: str) -> MongodUnavailable:
        if "DBPathInUse" in said:
            return self._in_use(lock_holder(self.data_dir))
        if code == _PORT_TAKEN:
            return PortTaken(f"Another process took port {self._port} while mongod started: start again.")
        if code == _OTHER_VERSION or _OTHER_FORMAT.search(said):
            return MongodUnavailable(
                f"mongod {self.version} cannot read the data in {self.data_dir}, which another version of "
                "MongoDB wrote: name that version's with --mongod, or choose another --data-dir."
            )
        how = f"signal {-code}" if code < 0 else f"code {code}"
        return MongodUnavailable(
            f"mongod {self.version} ended by itself ({how}, {last_error(said)}): see "
            f"{self.data_dir / LOG_NAME}."
        )
