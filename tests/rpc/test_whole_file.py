"""Files that are replaced as a whole: what the new one takes over, and that nobody's change is lost."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.rpc import token_file, whole_file
from service.rpc.token_file import TokenFileInvalid

OPERATORS = 4
# Adds tokens of an account, one after the other, revokes every second one, and tells the ids of the others.
OPERATOR = """
import sys
from pathlib import Path
from service.rpc import token_file
file, account = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    entry_id = token_file.digest(token_file.add(file, account, ("read",)))[:12]
    if number % 2:
        token_file.revoke(file, entry_id)
    else:
        print(entry_id)
"""


def test_operators_at_once_lose_nothing_and_bring_nothing_back(tmp_path: Path) -> None:
    """What was added is in the file, what was revoked is not, whoever else wrote meanwhile."""
    file = tmp_path / "tokens.jsonl"
    with ExitStack() as stack:
        operators = [
            stack.enter_context(
                subprocess.Popen(
                    (sys.executable, "-c", OPERATOR, file, f"account-{number}"),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(OPERATORS)
        ]
        for operator in operators:
            assert operator.stdout
            assert operator.stdout.readline() == "ready\n"
        for operator in operators:
            assert operator.stdin
            operator.stdin.write("\n")
            operator.stdin.flush()
        kept = [
            entry_id for operator in operators for entry_id in operator.communicate(timeout=50)[0].split()
        ]
    assert [operator.returncode for operator in operators] == [0] * OPERATORS
    assert len(kept) == 10 * OPERATORS
    assert sorted(entry.id for entry in token_file.read(file)) == sorted(kept)
    assert list(tmp_path.iterdir()) == [file]


def test_the_new_file_has_owner_and_mode_of_the_old_one(tmp_path: Path) -> None:
    """So the service still may read what root has changed."""
    file = tmp_path / "tokens.jsonl"
    token_file.add(file, "a", ("read",))
    assert file.stat().st_mode & 0o777 == 0o600
    owner = (10001, 10002) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(file, *owner)
    file.chmod(0o640)
    before = file.stat()
    token = token_file.add(file, "a", ("read",))
    token_file.revoke(file, token_file.digest(token)[:12])
    after = file.stat()
    assert after.st_ino != before.st_ino or after.st_ctime_ns != before.st_ctime_ns
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither the beginning of a new file, nor another old one."""
    folder = tmp_path / "tokens.jsonl"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(TokenFileInvalid, match=r"tokens\.jsonl"):
        token_file.write(folder, b"any")
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "inside").is_dir()


def test_a_stamp_tells_of_each_change(tmp_path: Path) -> None:
    """Of content, of the mode, of another file under the name, and of none there."""
    file = tmp_path / "file"
    stamps = [whole_file.stamp(file)]
    file.write_bytes(b"one")
    stamps.append(whole_file.stamp(file))
    file.chmod(0o640)
    stamps.append(whole_file.stamp(file))
    whole_file.replace(file, b"two")
    stamps.append(whole_file.stamp(file))
    assert len(set(stamps)) == 4
    assert whole_file.stamp(file) == stamps[-1]
