"""A child that never outlives its parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.ops import child
from service.ops.child import ending_with_us
from tests.process import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no parent-death signal")

PARENT = """
import signal, subprocess, sys
from service.ops.child import ending_with_us
command = [sys.executable, "-c", "import signal; print('runs', flush=True); signal.pause()"]
child = subprocess.Popen(ending_with_us(command, signal.SIGKILL), stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
signal.pause()
"""


def test_a_killed_parent_leaves_no_child() -> None:
    """The kernel sends the signal, as the parent had no chance to."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
        eventually(lambda: not Path(f"/proc/{pid}").exists(), 2)


def test_a_parent_that_is_gone_already_starts_nothing(tmp_path: Path) -> None:
    """The launcher runs nothing when its parent ended before the signal was asked for."""
    launcher = [sys.executable, "-I", "-S", "-c", child._LAUNCHER]
    trace = tmp_path / "trace"
    for parent, expected in ((1, False), (os.getpid(), True)):
        subprocess.run(
            [*launcher, str(parent), str(signal.SIGTERM.value), "/bin/touch", str(trace)],
            check=expected,
            capture_output=True,
        )
        assert trace.exists() == expected


def test_the_command_is_what_runs() -> None:
    """The process between becomes the command: same pid, its exit code, its arguments."""
    command = ["/bin/sh", "-c", 'echo $$ "$0"; exit 7', "an argument"]
    with subprocess.Popen(ending_with_us(command, signal.SIGKILL), stdout=subprocess.PIPE, text=True) as run:
        assert run.communicate()[0] == f"{run.pid} an argument\n"
    assert run.returncode == 7
