"""Three mongods on loopback for tests of failover: killed, restarted and stepped down at will."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from pymongo.errors import PyMongoError

from service.storage.mongod_binary import choose
from service.storage.mongod_process import HOST, Child, direct, free_port, listens, spawn

SET_NAME = "three"
MEMBERS = range(3)
POLL_SECONDS = 0.02
# Failovers in one or two seconds instead of ten.
SETTINGS = {"heartbeatIntervalMillis": 200, "electionTimeoutMillis": 1000}
OPTIONS = (
    "--replSet",
    SET_NAME,
    "--oplogSize",
    "128",
    "--wiredTigerCacheSizeGB",
    "0.25",
    "--syncdelay",
    "10",
)


class ReplicaSet:
    """A set of three; a member is named by its number, 0 to 2. Start it from the main thread."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._binary = choose(None, data_dir / "lib")
        self._ports: list[int] = []
        self.children: dict[int, Child] = {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def uri(self) -> str:
        return f"mongodb://{','.join(map(self._host, MEMBERS))}/?replicaSet={SET_NAME}"

    def start(self) -> None:
        """Returns when there is a primary and any member may be lost."""
        while len(self._ports) < len(MEMBERS):
            if (port := free_port()) not in self._ports:
                self._ports.append(port)
        for member in MEMBERS:
            self._spawn(member)
        for member in MEMBERS:
            self._until(partial(listens, self._ports[member]), f"member {member} to listen")
        self._initiate()
        self.primary()
        for member in MEMBERS:
            self._until(partial(self._serves, member), f"member {member} to serve")

    def stop(self) -> None:
        """Kills all members: what was acknowledged is in their journals."""
        for member in list(self.children):
            self.kill(member)

    def kill(self, member: int) -> None:
        """SIGKILL; returns when it is gone."""
        child = self.children.pop(member)
        child.kill()
        child.wait()

    def restart(self, member: int) -> None:
        """Starts a killed member on its port again; returns when it has caught up."""
        self._spawn(member)
        self._until(partial(self._serves, member), f"member {member} to serve again")

    def primary(self) -> int:
        """The member that takes writes now, once there is one."""
        found: list[int] = []

        def elected() -> bool:
            found[:] = [member for member in self.children if self._hello(member).get("isWritablePrimary")]
            return len(found) == 1

        self._until(elected, "a primary")
        return found[0]

    def step_down(self) -> int:
        """Makes the primary give up its office; returns the new one, once the old could be elected again."""
        old = self.primary()
        with direct(self._ports[old]) as client:
            client.admin.command("replSetStepDown", 10, secondaryCatchUpPeriodSecs=9)
            new = self.primary()
            client.admin.command("replSetFreeze", 0)
        return new

    @contextmanager
    def secondaries_locked(self) -> Iterator[None]:
        """Meanwhile they write nothing: what is new has no majority, and the primary stays."""
        primary = self.primary()
        with ExitStack() as stack:
            for port in (self._ports[member] for member in MEMBERS if member != primary):
                client = stack.enter_context(direct(port))
                client.admin.command("fsync", lock=True)
                stack.callback(client.admin.command, "fsyncUnlock")
            yield

    def _host(self, member: int) -> str:
        return f"{HOST}:{self._ports[member]}"

    def _spawn(self, member: int) -> None:
        folder = self.data_dir / str(member)
        folder.mkdir(parents=True, exist_ok=True)
        self.children[member] = spawn(self._binary, folder, self._ports[member], *OPTIONS)

    def _initiate(self) -> None:
        members = [{"_id": member, "host": self._host(member)} for member in MEMBERS]
        config = {"_id": SET_NAME, "members": members, "settings": SETTINGS}
        with direct(self._ports[0]) as client, suppress(PyMongoError):
            client.admin.command("replSetInitiate", config)

    def _hello(self, member: int) -> dict[str, Any]:
        if listens(self._ports[member]):
            with suppress(PyMongoError), direct(self._ports[member]) as client:
                return client.admin.command("hello")
        return {}

    def _serves(self, member: int) -> bool:
        hello = self._hello(member)
        return bool(hello.get("secondary") or hello.get("isWritablePrimary"))

    def _until(self, condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:g} s for {what}; the logs are in {self.data_dir}")
            time.sleep(POLL_SECONDS)
