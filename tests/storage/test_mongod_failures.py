"""What can keep the own mongod from starting: each is told in one sentence, and leaves nothing behind."""

import time
from pathlib import Path

import pytest

from service.storage import mongod as mongod_module
from service.storage.mongod import EmbeddedMongod, MongodUnavailable
from service.storage.mongod_binary import choose
from service.storage.mongod_process import direct, end, free_port, listens, lock_holder, spawn
from tests.storage.notes import becomes, connected, texts, write


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
