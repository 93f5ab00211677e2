"""The rules for worker processes, on commands of a few lines instead of the service."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.ops.workers import pause_before
from tests.process import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")

SUPERVISOR = """
import asyncio, os, pathlib, signal, sys
from service.ops import logs
from service.ops.workers import NotDrained, WorkerCannotServe, Workers
logs.configure("console", "info")
grace, *worker = sys.argv[1:]
workers = Workers([sys.executable, "-c", *worker], os.environ, count=2, grace=float(grace))

def look():
    if not pathlib.Path(worker[-1], "doom").exists():
        return
    # They end, and are buried, before the loop can hear of it.
    pids = workers.pids()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    while any(pathlib.Path("/proc", str(pid)).exists() for pid in pids):
        pass
    raise WorkerCannotServe("all have ended")

try:
    asyncio.run(workers.run(lambda: print("all serve", flush=True), look))
except (WorkerCannotServe, NotDrained) as error:
    sys.exit(type(error).__name__ + ": " + str(error))
"""
# Leaves its pid in the folder, and is of a kind.
WORKER = """
import os, pathlib, signal, sys
kind, folder = sys.argv[1], pathlib.Path(sys.argv[2])
signalled = {
    "stubborn": signal.SIG_IGN,
    "failing": lambda *_: sys.exit(7),
    "starting": signal.SIG_DFL,
}
signal.signal(signal.SIGTERM, signalled.get(kind, lambda *_: sys.exit()))
if kind == "refusing" or (folder / "refuse").exists():
    sys.exit(print("the file cannot be read") or 1)
if kind == "broken":
    sys.exit(3)
(folder / str(os.getpid())).touch()
if kind != "starting":
    print("serving", flush=True)
while True:
    signal.pause()
"""


class Crew(subprocess.Popen[str]):
    """A supervisor with two workers of a kind."""

    def __init__(self, kind: str, folder: Path, grace: float) -> None:
        command = [sys.executable, "-c", SUPERVISOR, str(grace), WORKER, kind, str(folder)]
        super().__init__(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._folder = folder

    @property
    def workers(self) -> set[int]:
        """The pids of those that run."""
        pids = (int(each.name) for each in self._folder.iterdir() if each.name.isdecimal())
        return {pid for pid in pids if Path(f"/proc/{pid}").exists()}

    def serves(self) -> set[int]:
        """Waits for the word, and returns the workers."""
        assert self.stdout is not None
        assert self.stdout.readline() == "all serve\n"
        return self.workers

    def ends(self) -> tuple[int, str]:
        """The exit code, and the last line on stderr; nothing more was said on stdout."""
        said, complained = self.communicate(timeout=20)
        assert (said, self.workers) == ("", set())
        return self.returncode, complained.splitlines()[-1]


@contextmanager
def crew(kind: str, folder: Path, grace: float = 60) -> Iterator[Crew]:
    with Crew(kind, folder, grace) as found:
        try:
            yield found
        finally:
            found.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_and_then_the_supervisor(number: signal.Signals, tmp_path: Path) -> None:
    """Workers that end in time make an exit code of 0."""
    with crew("willing", tmp_path) as supervisor:
        assert len(supervisor.serves()) == 2
        supervisor.send_signal(number)
        code, last = supervisor.ends()
        assert code == 0
        assert last.endswith("draining")


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    """Its successor serves, the other one was not touched, and the log says how it ended."""
    with crew("willing", tmp_path) as supervisor:
        victim, other = supervisor.serves()
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(supervisor.workers - {victim, other}) == 1 and other in supervisor.workers)
        supervisor.terminate()
        _, complained = supervisor.communicate(timeout=20)
        [line] = [line for line in complained.splitlines() if "started again" in line]
        assert f"pid={victim}" in line
        assert "a worker ended by signal 9" in line


def test_ctrl_c_reaches_the_supervisor_only(tmp_path: Path) -> None:
    """Workers are in sessions of their own, where a terminal's signals do not go."""
    with crew("willing", tmp_path) as supervisor:
        workers = supervisor.serves()
        assert {os.getsid(pid) for pid in workers} == workers


def test_a_killed_supervisor_leaves_no_worker(tmp_path: Path) -> None:
    """Also none that would not end by itself."""
    with crew("stubborn", tmp_path) as supervisor:
        assert len(supervisor.serves()) == 2
        supervisor.kill()
        eventually(lambda: not supervisor.workers, 2)


@pytest.mark.parametrize(("signals", "grace"), [(1, 0.5), (2, 60)])
def test_workers_that_do_not_end_are_killed(signals: int, grace: float, tmp_path: Path) -> None:
    """After the grace, or at once by a second signal; the exit code tells."""
    with crew("stubborn", tmp_path, grace) as supervisor:
        supervisor.serves()
        assert supervisor.stderr is not None
        for number in (signal.SIGTERM, signal.SIGINT)[:signals]:
            supervisor.send_signal(number)
            last = supervisor.stderr.readline()
        assert ("killing" if signals == 2 else "draining") in last
        code, last = supervisor.ends()
        assert code == 1
        assert last == "NotDrained: 2 of 2 workers ended before they had drained"


def test_a_worker_that_fails_while_it_drains_is_told(tmp_path: Path) -> None:
    """What it had under way is lost, and no exit code of 0 says otherwise."""
    with crew("failing", tmp_path) as supervisor:
        supervisor.serves()
        supervisor.terminate()
        _, complained = supervisor.communicate(timeout=20)
        assert supervisor.returncode == 1
        assert "NotDrained: 2 of 2 workers ended before they had drained" in complained


def test_a_worker_that_did_not_serve_yet_loses_nothing(tmp_path: Path) -> None:
    """A signal during the start ends it before it can listen for one: exit code 0."""
    with crew("starting", tmp_path) as supervisor:
        eventually(lambda: len(supervisor.workers) == 2)
        supervisor.terminate()
        code, last = supervisor.ends()
        assert code == 0
        assert last.endswith("draining")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [("refusing", "the file cannot be read"), ("broken", "a worker ended by code 3")],
)
def test_workers_that_cannot_serve_end_the_start(kind: str, sentence: str, tmp_path: Path) -> None:
    """At the start the first one's sentence is the outcome: what is wrong for one is wrong for all."""
    with crew(kind, tmp_path) as supervisor:
        assert supervisor.ends() == (1, f"WorkerCannotServe: {sentence}")


def test_workers_that_fail_together_have_one_sentence(tmp_path: Path) -> None:
    """Those that have ended already when all are to end are not in the way of the sentence."""
    with crew("doomed", tmp_path) as supervisor:
        supervisor.serves()
        (tmp_path / "doom").touch()
        assert supervisor.ends() == (1, "WorkerCannotServe: all have ended")


def test_a_worker_that_cannot_serve_later_is_no_end(tmp_path: Path) -> None:
    """Once all have served, a successor that cannot is logged and tried again, while the others serve."""
    with crew("willing", tmp_path) as supervisor:
        victim, other = supervisor.serves()
        (tmp_path / "refuse").touch()
        os.kill(victim, signal.SIGKILL)
        assert supervisor.stderr is not None
        assert "signal 9" in supervisor.stderr.readline()
        assert "the file cannot be read" in supervisor.stderr.readline()
        assert supervisor.workers == {other}
        (tmp_path / "refuse").unlink()
        assert eventually(lambda: len(supervisor.workers) == 2)


def test_the_pause_before_a_start_grows() -> None:
    """None after a life of some length; doubled, up to ten seconds, when one ends as soon as it has begun."""
    pauses = [0.0]
    for _ in range(7):
        pauses.append(pause_before(pauses[-1], lived=1))
    assert pauses == [0, 0.5, 1, 2, 4, 8, 10, 10]
    assert pause_before(10, lived=60) == 0
