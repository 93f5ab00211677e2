"""Which mongod is taken, what it is lent to run, and what is said where none runs."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from service.storage import mongod_binary
from service.storage.mongod import EmbeddedMongod, MongodUnavailable
from service.storage.mongod_binary import bundled_libraries, choose

WAYS_OUT = ("MongoDB 6.0 or newer", "--mongod", "--mongodb-uri")
WITH_WHEELS = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the wheels are for Linux on x86-64"
)


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def real_mongod(tmp_path: Path) -> Path:
    return choose(None, tmp_path / "lib").path


@WITH_WHEELS
def test_missing_libraries_are_lent(tmp_path: Path) -> None:
    """Where libcurl is missing, mongod runs on the libraries of the pycurl wheel, and only mongod does."""
    real, pycurl = real_mongod(tmp_path), mongod_binary._installed("pycurl", "pycurl.libs")
    bare = program(
        tmp_path / "bare",
        f'test -n "$LD_LIBRARY_PATH" && exec {real} "$@"\n'
        "echo 'bare: error while loading shared libraries: libcurl.so.4: cannot open' >&2; exit 127",
    )
    mongod = EmbeddedMongod(tmp_path / "data", bare)
    mongod.start()
    try:
        with MongoClient[dict[str, Any]](mongod.uri) as client:
            assert client.test.notes.insert_one({}).acknowledged
        maps = Path(f"/proc/{mongod.pid}/maps").read_text()
    finally:
        mongod.stop(timeout=0)
    loaded = {line.split()[-1] for line in maps.splitlines() if ".so" in line}
    for library in ("libcurl", "libssl", "libcrypto"):
        assert {str(Path(path).parent) for path in loaded if f"/{library}" in path} == {str(pycurl)}
    assert "LD_LIBRARY_PATH" not in os.environ


@WITH_WHEELS
def test_every_lent_library_is_found(tmp_path: Path) -> None:
    """With the lent folders alone, the loader finds libcurl and all that it needs in turn."""
    folders = bundled_libraries(tmp_path / "lib")
    found = subprocess.run(
        ["/usr/bin/ldd", folders[0] / "libcurl.so.4"],
        env={"LD_LIBRARY_PATH": ":".join(map(str, folders))},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "not found" not in found
    assert str(folders[1]) in found


UNUSABLE = {
    "exit 3": "--version ended with code 3",
    "echo 'db version v5.0.9'": "version 5.0.9 is older than 6.0",
    "echo 'x: error while loading shared libraries: libz.so.9: cannot' >&2; exit 127": "libz.so.9 is missing",
    'echo "x: version \\`GLIBC_2.99\' not found" >&2; exit 1': "it needs GLIBC_2.99",
    "kill -ILL $$": "lacks AVX",
}


@pytest.mark.parametrize(("body", "reason"), UNUSABLE.items(), ids=UNUSABLE.values())
def test_an_unusable_binary_is_explained(
    body: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a binary that runs, one sentence has the reason of each and the two ways out."""
    monkeypatch.setattr(mongod_binary, "WHEEL", "not-installed")
    monkeypatch.setenv("PATH", str(program(tmp_path / "bin" / "mongod", body).parent) + ":/bin:/usr/bin")
    with pytest.raises(MongodUnavailable) as raised:
        EmbeddedMongod(tmp_path / "data").start()
    for part in (reason, "not-installed: there is none", *WAYS_OUT):
        assert part in str(raised.value)


def test_a_machine_without_any_is_told_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on PATH nor as a wheel: the sentence has the two ways out."""
    monkeypatch.setattr(mongod_binary, "WHEEL", "not-installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MongodUnavailable) as raised:
        EmbeddedMongod(tmp_path / "data").start()
    for part in ("mongod on PATH: there is none", "not-installed: there is none", *WAYS_OUT):
        assert part in str(raised.value)


def test_a_named_binary_is_never_passed_over(tmp_path: Path) -> None:
    """A binary that was named and does not run is an error, though the wheel's would run."""
    not_a_program = tmp_path / "mongod"
    not_a_program.write_bytes(b"\0")
    not_a_program.chmod(0o755)
    for path, reason in ((not_a_program, "Exec format error"), (tmp_path / "absent", "not found")):
        with pytest.raises(MongodUnavailable, match=rf"{path} cannot be used \({reason}\).*--mongodb-uri\.$"):
            EmbeddedMongod(tmp_path / "data", path).start()


@WITH_WHEELS
def test_path_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mongod on PATH is taken if it is new enough; an older one is passed over for the wheel's."""
    real = real_mongod(tmp_path)
    own = program(tmp_path / "bin" / "mongod", f'exec {real} "$@"')
    monkeypatch.setenv("PATH", f"{own.parent}:/bin:/usr/bin")
    assert choose(None, tmp_path / "lib").path == own
    program(own, "echo 'db version v4.4.1'")
    assert choose(None, tmp_path / "lib").path == mongod_binary._in_wheel()
