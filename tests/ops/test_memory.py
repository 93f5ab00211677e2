"""Memory: the limits that control groups set, and when a process is near them."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.ops import memory
from service.ops.memory import MemoryGuard, control_group_limit, resident

MIB = 1024 * 1024

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")


def group(folder: Path, membership: str, limits: dict[str, str]) -> int | None:
    """The limit found with these lines of /proc/self/cgroup and these files of limits."""
    (folder / "cgroup").write_text(membership)
    for name, content in limits.items():
        (folder / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "fs" / name).write_text(content)
    return control_group_limit(folder / "cgroup", folder / "fs")


@pytest.mark.parametrize(
    ("membership", "limits", "found"),
    [
        ("0::/\n", {"memory.max": "1000\n"}, 1000),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/\n", {}, None),
        ("0::/pod/box\n", {"pod/box/memory.max": "max\n", "pod/memory.max": "700\n"}, 700),
        ("0::/pod/box\n", {"pod/box/memory.max": "500\n", "pod/memory.max": "700\n"}, 500),
        ("0::/pod/as-the-host-names-it\n", {"memory.max": "900\n"}, 900),
        ("4:cpu,memory:/box\n1:cpu:/\n", {"memory/box/memory.limit_in_bytes": "800\n"}, 800),
        ("4:memory:/docker/1\n0::/\n", {"memory/memory.limit_in_bytes": "600\n"}, 600),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("9:name=systemd:/\n", {"memory.max": "1\n"}, None),
    ],
)
def test_the_limit_is_the_smallest_of_the_control_groups(
    membership: str, limits: dict[str, str], found: int | None, tmp_path: Path
) -> None:
    """Of version 1 or 2, of the own group or one above it; groups without a limit have none."""
    assert group(tmp_path, membership, limits) == found


def test_a_system_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    """Elsewhere than on Linux there is nothing to read."""
    assert control_group_limit(tmp_path / "absent", tmp_path) is None


def test_workers_share_the_limit_of_their_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its part; a limit that was set is each one's own."""
    monkeypatch.setattr(memory, "control_group_limit", lambda: 1000)
    assert memory.guard(None, workers=4).limit == 250
    assert memory.guard(900, workers=4).limit == 900


@pytest.mark.parametrize(
    ("used", "short", "gone"),
    [(0, False, False), (799, False, False), (800, True, False), (919, True, False), (920, True, True)],
)
def test_memory_is_short_from_80_and_gone_from_92_per_cent_on(used: int, short: bool, gone: bool) -> None:
    """And neither any more when it has come back."""
    now = [used]
    guard = MemoryGuard(1000, lambda: now[0])
    guard.look()
    assert (guard.is_short, guard.is_gone) == (short, gone)
    now[0] = 0
    guard.look()
    assert (guard.is_short, guard.is_gone) == (False, False)


async def test_without_a_limit_nothing_is_looked_at() -> None:
    """The guard of a process without a limit ends at once."""

    def unasked() -> int:
        raise AssertionError("memory was measured")

    guard = MemoryGuard(None, unasked)
    await guard.follow()
    assert not guard.is_short


@linux
def test_what_lies_in_memory_is_seen() -> None:
    """64 MiB more are 64 MiB more."""
    before = resident()
    room = bytearray(b"x" * 64 * MIB)
    assert 60 * MIB < resident() - before < 70 * MIB
    assert room


FREED = """
from service.ops.memory import MemoryGuard, resident
# Small pieces, of which the last stays: the allocator keeps what lies below it.
pieces = [b"x" * 50_000 for _ in range(4000)]
kept = pieces[-1]
before = resident()
del pieces
freed = before - resident()
MemoryGuard(1, resident).look()
print(before, freed, before - resident())
"""


@linux
def test_what_was_freed_is_handed_back_when_memory_is_short() -> None:
    """Else a process that once was near its limit would refuse for ever."""
    said = subprocess.run([sys.executable, "-c", FREED], stdout=subprocess.PIPE, check=True, text=True).stdout
    _, by_itself, handed_back = map(int, said.split())
    assert by_itself < 50 * MIB < 150 * MIB < handed_back
