"""./dev as a newcomer uses it: from a shell, in another directory, to the end."""

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

DEV = Path(__file__).resolve().parent.parent / "dev"
# The first call may have to install what a venv made by hand lacks; the rest take a few seconds.
RUN_SECONDS = 150

pytestmark = pytest.mark.timeout(2 * RUN_SECONDS + 10)


def dev(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DEV, *arguments], cwd=cwd, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_dev_is_plain_shell(shell: str) -> None:
    """Every shell that calls itself POSIX can read the script."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", DEV], check=True)


def test_dev_without_a_known_command_shows_its_commands(tmp_path: Path) -> None:
    """Help is the default and succeeds; a command that does not exist fails with the same text."""
    asked, mistaken = dev(cwd=tmp_path), dev("rum", cwd=tmp_path)
    assert (asked.returncode, mistaken.returncode) == (0, 2)
    assert "run [--once]" in asked.stdout
    assert mistaken.stderr == asked.stdout


def test_two_runs_on_one_data_directory_know_the_same_people(tmp_path: Path) -> None:
    """The first run creates one contact a person and proves it, the second creates none."""
    flags = ("run", "--once", "--address", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"))
    export = tmp_path / "export.jsonl"
    first, second = dev(*flags, "--export", str(export), cwd=tmp_path), dev(*flags, cwd=tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert second.returncode == 0, second.stdout + second.stderr
    assert "3,000 events of 900 people" in first.stdout
    assert "3,000 calls: 900 created, 2,100 found" in first.stdout
    assert "300 calls: 0 created, 300 found when every third person came back" in first.stdout
    assert "900 people are 900 contacts: 0 doubled, 0 mixed up" in first.stdout
    assert re.search(r"^sha256 +[0-9a-f]{64}, as the summary says$", first.stdout, re.MULTILINE)
    assert export.read_bytes().count(b"\n") == 900
    assert "3,000 calls: 0 created, 3,000 found" in second.stdout
    assert "\r" not in first.stdout


def test_a_busy_port_is_named_with_the_flag_that_changes_it(tmp_path: Path) -> None:
    """The run ends at once, and its last words say which port and which flag."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = dev(
            "run", "--once", "--address", f"127.0.0.1:{port}", "--data-dir", str(tmp_path), cwd=tmp_path
        )
    assert ended.returncode not in (0, 130)
    assert str(port) in ended.stderr
    assert "--address" in ended.stderr
    assert "Traceback" not in ended.stderr
