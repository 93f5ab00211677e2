"""The own mongod: it starts on what it finds, keeps what it was given, and never outlives its parent."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from service.storage.mongod import EmbeddedMongod
from service.storage.mongod_process import listens
from tests.storage.notes import becomes, connected, texts, write

ROOT = Path(__file__).parents[2]
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no parent-death signal")

SERVICE = """
import signal, sys
from pathlib import Path
from service.storage.mongod import EmbeddedMongod
mongod = EmbeddedMongod(Path(sys.argv[1]))
mongod.start()
print(mongod.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process with a mongod on `data`, and that mongod's pid."""
    command = [sys.executable, "-c", SERVICE, str(tmp_path / "data")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        yield parent, pid
        parent.kill()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_data_outlives_a_stop(mongod: EmbeddedMongod) -> None:
    """Stopped and started again, mongod has the same port and the same data."""
    port = mongod.port
    with connected(mongod) as client:
        client.test.notes.insert_one({"text": "kept"})
        mongod.stop()
        assert not listens(port)
        mongod.stop()
        mongod.start()
    assert mongod.port == port
    assert texts(mongod) == ["kept"]


@pytest.mark.parametrize("ending", ["clean", "killed"])
def test_data_outlives_a_change_of_port(mongod: EmbeddedMongod, ending: str) -> None:
    """When another socket holds the port, even a silent one, mongod moves at once and keeps its data."""
    write(mongod, "kept")
    port = mongod.port
    mongod.stop(timeout=10 if ending == "clean" else 0)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        mongod.start(timeout=15)
        assert mongod.port != port
        assert texts(mongod) == ["kept"]
        write(mongod, "more")
    moved = mongod.port
    mongod.stop(timeout=0)
    mongod.start(timeout=15)
    assert mongod.port == moved
    assert texts(mongod) == ["kept", "more"]


def test_its_cache_leaves_room_for_others(mongod: EmbeddedMongod) -> None:
    """At most a quarter of the machine's memory, and at most 4 GiB: it is one program of a trial."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with connected(mongod) as client:
        cache = client.admin.command("serverStatus")["wiredTiger"]["cache"]["maximum bytes configured"]
    assert cache <= max(2**28, min(2**32, memory / 4)) + 2**24


def test_transactions_and_change_streams_work(mongod: EmbeddedMongod) -> None:
    """What needs a replica set works on a set of one, through the URI as it is given."""
    with connected(mongod) as client:
        notes = client.test.notes
        with notes.watch() as changes:
            with client.start_session() as session, session.start_transaction():
                notes.insert_one({"text": "first"}, session=session)
                notes.insert_one({"text": "second"}, session=session)
            seen = [next(changes)["fullDocument"]["text"] for _ in range(2)]
        with client.start_session() as session, suppress(ZeroDivisionError), session.start_transaction():
            notes.insert_one({"text": "undone"}, session=session)
            raise ZeroDivisionError
    assert seen == texts(mongod) == ["first", "second"]


def test_a_killed_mongod_is_brought_back(mongod: EmbeddedMongod) -> None:
    """After SIGKILL, mongod returns on its port with its data, and a client that was there goes on."""
    assert not mongod.restart_if_dead()
    port, pid = mongod.port, mongod.pid
    with connected(mongod) as client:
        client.test.notes.insert_one({"text": "kept"})
        os.kill(pid, signal.SIGKILL)
        assert becomes(mongod.restart_if_dead, 10)
        client.test.notes.insert_one({"text": "more"})
    assert (mongod.port, mongod.pid != pid) == (port, True)
    assert texts(mongod) == ["kept", "more"]
    mongod.stop(timeout=0)
    assert not mongod.restart_if_dead()


def test_a_client_waits_while_mongod_is_away(mongod: EmbeddedMongod) -> None:
    """A write that is sent between death and return is answered after the return, not refused."""
    os.kill(mongod.pid, signal.SIGKILL)
    written: list[bool] = []
    with connected(mongod) as client:
        writer = threading.Thread(
            target=lambda: written.append(client.test.notes.insert_one({"text": "sent"}).acknowledged)
        )
        writer.start()
        assert becomes(mongod.restart_if_dead, 10)
        writer.join()
    assert written == [True]
    assert texts(mongod) == ["sent"]


@ON_LINUX
def test_a_killed_parent_leaves_no_mongod(service: tuple[subprocess.Popen[str], int]) -> None:
    """Two seconds after its parent got SIGKILL, mongod is gone."""
    parent, pid = service
    assert runs(pid)
    parent.kill()
    assert becomes(lambda: not runs(pid), 2)


@ON_LINUX
def test_the_next_service_need_not_wait(
    service: tuple[subprocess.Popen[str], int], unstarted: EmbeddedMongod
) -> None:
    """A service that starts while the mongod of a killed one still ends gets the data directory."""
    parent, pid = service
    parent.kill()
    parent.wait()
    assert runs(pid)
    unstarted.start()
    assert unstarted.pid != pid


def test_ctrl_c_does_not_reach_it(mongod: EmbeddedMongod) -> None:
    """Its mongod is in a session of its own, where a terminal's signals do not go."""
    assert os.getsid(mongod.pid) == mongod.pid


def test_it_starts_from_the_main_thread_only(unstarted: EmbeddedMongod) -> None:
    """A start from another thread, with which mongod would end, is refused."""
    errors: list[RuntimeError] = []

    def start() -> None:
        try:
            unstarted.start()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])
