"""The own mongod: it starts on what it finds, keeps what it was given, and never outlives its parent."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from service.storage import mongod as mongod_module
from service.storage import mongod_process
from service.storage.mongod import EmbeddedMongod, MongodUnavailable
from service.storage.mongod_binary import choose
from service.storage.mongod_process import direct, end, free_port, listens, lock_holder, spawn
from tests.replica_set import ReplicaSet

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
def mongod(tmp_path: Path) -> Iterator[EmbeddedMongod]:
    mongod = EmbeddedMongod(tmp_path / "data")
    mongod.start()
    yield mongod
    mongod.stop(timeout=0)


@pytest.fixture
def unstarted(tmp_path: Path) -> Iterator[EmbeddedMongod]:
    mongod = EmbeddedMongod(tmp_path / "data")
    yield mongod
    mongod.stop(timeout=0)


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


def connected(mongod: EmbeddedMongod) -> MongoClient[dict[str, Any]]:
    return MongoClient(mongod.uri, w="majority")


def write(mongod: EmbeddedMongod, text: str) -> None:
    with connected(mongod) as client:
        client.test.notes.insert_one({"text": text})


def texts(mongod: EmbeddedMongod) -> list[str]:
    with connected(mongod) as client:
        return [note["text"] for note in client.test.notes.find(sort=[("_id", 1)])]


def becomes(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


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


@ON_LINUX
def test_a_parent_that_is_gone_already_starts_nothing(tmp_path: Path) -> None:
    """The launcher runs no mongod when its parent ended before the signal was asked for."""
    launcher = [sys.executable, "-I", "-S", "-c", mongod_process._LAUNCHER]
    trace = tmp_path / "trace"
    for parent, expected in ((1, False), (os.getpid(), True)):
        subprocess.run(
            [*launcher, str(parent), str(signal.SIGTERM.value), "/bin/touch", str(trace)],
            check=expected,
            capture_output=True,
        )
        assert trace.exists() == expected


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


def test_one_directory_serves_one_mongod(mongod: EmbeddedMongod) -> None:
    """A second start on a data directory names the mongod that has it, and leaves it alone."""
    with pytest.raises(MongodUnavailable, match=rf"in use by a mongod \(pid {mongod.pid}\).*--data-dir"):
        EmbeddedMongod(mongod.data_dir).start()
    write(mongod, "undisturbed")


def test_a_start_that_loses_the_race_says_in_use(mongod: EmbeddedMongod) -> None:
    """The refusal of mongod itself of a data directory in use reads as ours does."""
    late = EmbeddedMongod(mongod.data_dir)
    late._port = free_port()
    with pytest.raises(MongodUnavailable, match=rf"in use by a mongod \(pid {mongod.pid}\)"):
        late._run((), late._is_primary, time.monotonic() + 20)


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A data directory below a file is refused in one sentence, with the way out."""
    (tmp_path / "file").touch()
    with pytest.raises(MongodUnavailable, match=r"file/data cannot be written .*--data-dir\.$"):
        EmbeddedMongod(tmp_path / "file" / "data").start()


def test_a_stolen_port_is_left_to_the_thief(
    mongod: EmbeddedMongod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that another mongod took between choice and start is given up, never taken for ours."""
    ports = iter([mongod.port])
    monkeypatch.setattr(mongod_module, "free_port", lambda preferred: next(ports, 0) or free_port(preferred))
    second = EmbeddedMongod(tmp_path / "second")
    second.start()
    try:
        write(second, "second")
        assert second.port != mongod.port
        assert texts(mongod) == []
    finally:
        second.stop(timeout=0)


def test_data_of_another_version_is_named(mongod: EmbeddedMongod) -> None:
    """Files of a format that this mongod does not know are told from damage."""
    mongod.stop()
    turtle = mongod.data_dir / "WiredTiger.turtle"
    turtle.write_text(turtle.read_text().replace("version=(major=1,minor=1)", "version=(major=9,minor=9)"))
    with pytest.raises(MongodUnavailable, match=r"another version of MongoDB.*--mongod.*--data-dir\.$"):
        mongod.start()


def test_data_of_another_set_is_left_alone(unstarted: EmbeddedMongod, tmp_path: Path) -> None:
    """A data directory of some other replica set is refused, not converted."""
    unstarted.data_dir.mkdir()
    port = free_port()
    other = spawn(choose(None, tmp_path / "lib"), unstarted.data_dir, port, "--replSet", "theirs")
    try:
        assert becomes(lambda: listens(port), 20)
        with direct(port) as client:
            member = {"_id": 0, "host": f"127.0.0.1:{port}"}
            client.admin.command("replSetInitiate", {"_id": "theirs", "members": [member]})
    finally:
        end(other)
    with pytest.raises(MongodUnavailable, match=r"belongs to the replica set theirs.*--data-dir"):
        unstarted.start()
    assert lock_holder(unstarted.data_dir) is None


def test_an_early_end_is_explained(unstarted: EmbeddedMongod) -> None:
    """When mongod ends while it starts, the error has its reason, its exit code and the place of its log."""
    unstarted.data_dir.mkdir()
    (unstarted.data_dir / "storage.bson").write_bytes(b"garbage")
    with pytest.raises(MongodUnavailable, match=r"code 14.*metadata file Incorrect BSON.*mongod\.log\.$"):
        unstarted.start()


def test_a_start_that_takes_too_long_leaves_nothing(unstarted: EmbeddedMongod) -> None:
    """A start that is not done in time ends what it began."""
    with pytest.raises(MongodUnavailable, match=r"not ready in time.*mongod\.log"):
        unstarted.start(timeout=0.001)
    assert lock_holder(unstarted.data_dir) is None
    unstarted.start()


def test_the_log_holds_no_values(mongod: EmbeddedMongod) -> None:
    """A slow query, which MongoDB logs with its values by default, leaves none of them in the log."""
    write(mongod, "canary-5b1f")
    with connected(mongod) as client:
        slow = {"text": "canary-5b1f", "$where": "sleep(300) || true"}
        assert client.test.notes.find_one(slow) is not None
    mongod.stop()
    log = (mongod.data_dir / "mongod.log").read_text()
    assert "Now exiting" in log
    assert "canary-5b1f" not in log


@pytest.fixture
def three(tmp_path: Path) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path) as replica_set:
        yield replica_set


def test_three_survive_the_loss_of_their_primary(three: ReplicaSet) -> None:
    """A set of three elects another primary after a kill and after a step-down, and keeps every write."""
    with MongoClient[dict[str, Any]](three.uri, w="majority") as client:
        notes = client.test.notes
        notes.insert_one({"_id": 1})
        first = three.primary()
        three.kill(first)
        notes.insert_one({"_id": 2})
        second = three.primary()
        three.restart(first)
        third = three.step_down()
        notes.insert_one({"_id": 3})
        assert [note["_id"] for note in notes.find(sort=[("_id", 1)])] == [1, 2, 3]
    assert first != second != third


def test_a_secondary_ends_as_quickly_as_a_primary(three: ReplicaSet) -> None:
    """A mongod that is not primary, as each is for a moment while it starts, ends within two seconds."""
    secondary = next(member for member in three.children if member != three.primary())
    three.children[secondary].terminate()
    three.children[secondary].wait(timeout=2)
