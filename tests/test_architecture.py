"""The rooms of the service and the doors between them, read from the imports."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVICE = sorted((ROOT / "service").rglob("*.py"))
STUBS = "clients/python/src/contactservice/v1"
EVERYTHING = sorted(
    path
    for folder in ("service", "tests", "examples", "bench", "clients/python")
    for path in (ROOT / folder).rglob("*.py")
    if STUBS not in path.as_posix() and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
WIRE = ("grpc", "grpc_health", "grpc_reflection", "google", "contactservice")
DRIVER = ("pymongo", "bson", "gridfs")
OUTSIDE_WORLD = (
    "asyncio",
    "concurrent",
    "http",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
)
ROOMS = {
    "service/domain/": ("service.domain",),
    "service/storage/": ("service.storage", "service.domain", "service.native", "service.ops"),
    "service/rpc/": (
        "service.rpc",
        "service.domain",
        "service.native",
        "service.storage.store",
        "service.ops",
        "service.config",
    ),
    "service/ops/": ("service.ops", "service.native"),
    "service/config.py": ("service.config", "service.sources"),
    "service/sources.py": ("service.sources",),
    "service/native.py": ("service._native",),
}
# Where real things are chosen and joined, and the commands, which see all rooms.
JOINTS = ("service/rpc/server.py", "service/commands/", "service/__main__.py", "service/__init__.py")

CATCH_EVERYTHING = (
    "service/ops/logs.py",
    "service/rpc/boundary.py",
    "service/rpc/health.py",
    "service/storage/sweeper.py",
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """The full names of all that a module imports, wherever the import stands in it."""
    return set(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name_of(path)}:{node.lineno} imports by a relative name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(imported: str, *packages: str) -> bool:
    return any(imported == package or imported.startswith(f"{package}.") for package in packages)


def of(folder: str) -> list[Path]:
    return [path for path in SERVICE if name_of(path).startswith(folder)]


each_module = pytest.mark.parametrize("path", SERVICE, ids=name_of)
each_file = pytest.mark.parametrize("path", EVERYTHING, ids=name_of)


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_is_empty(room: str) -> None:
    """The rooms that the other tests look into exist under these names."""
    assert of(room)


@each_module
def test_every_module_stands_in_a_room(path: Path) -> None:
    """A module belongs to one of the rooms, or is one of the few that join them."""
    assert name_of(path).startswith((*ROOMS, *JOINTS))


@pytest.mark.parametrize("path", of("service/domain/"), ids=name_of)
def test_the_domain_imports_no_other_world(path: Path) -> None:
    """Pure rules need the standard library, orjson and each other: no grpc, no pymongo, no I/O, no clock."""
    allowed = (*(sys.stdlib_module_names - set(OUTSIDE_WORLD)), "orjson", "service.domain")
    assert [each for each in imports(path) if not within(each, *allowed)] == []


@pytest.mark.parametrize("path", of("service/domain/"), ids=name_of)
def test_the_domain_asks_no_clock_and_opens_nothing(path: Path) -> None:
    """Times and randomness come in as arguments, files do not come in at all."""
    calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    names = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
    assert names.isdisjoint({"now", "utcnow", "today", "open", "print", "input"})


@each_module
def test_only_the_storage_imports_the_driver(path: Path) -> None:
    """The driver and bson are known in service/storage and nowhere else."""
    found = [each for each in imports(path) if within(each, *DRIVER)]
    assert name_of(path).startswith("service/storage/") or found == []


@each_module
def test_only_rpc_imports_grpc_and_the_stubs(path: Path) -> None:
    """grpc, the generated stubs and the messages of Google are known in service/rpc and nowhere else."""
    found = [each for each in imports(path) if within(each, *WIRE)]
    assert name_of(path).startswith("service/rpc/") or found == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_opens_only_its_own_doors(room: str) -> None:
    """Arrows: rpc -> domain <- storage, rpc -> storage by the store alone; ops and config are leaves."""
    wrong = [
        f"{name_of(path)} imports {each}"
        for path in of(room)
        if not name_of(path).startswith(JOINTS)
        for each in imports(path)
        if within(each, "service") and not within(each, *ROOMS[room])
    ]
    assert wrong == []


@each_module
def test_nothing_is_imported_by_a_text(path: Path) -> None:
    """An import that only shows while running would pass by these tests."""
    names = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    assert names.isdisjoint({"import_module", "__import__"})


@each_file
def test_nobody_imports_a_mock(path: Path) -> None:
    """Tests speak to real things."""
    assert [each for each in imports(path) if within(each, "unittest.mock", "mock", "pytest_mock")] == []


@each_file
def test_nobody_imports_an_odm_and_motor_is_only_a_peer(path: Path) -> None:
    """The store speaks to the driver itself; motor is compared with in the benchmarks."""
    odms = ("beanie", "mongoengine", "odmantic", "umongo", "pymodm", "mongomock")
    unwanted = odms if name_of(path).startswith("bench/") else (*odms, "motor")
    assert [each for each in imports(path) if within(each, *unwanted)] == []


@each_module
def test_a_file_has_at_most_300_lines(path: Path) -> None:
    """Past that a file holds two nouns, and is split."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@each_module
def test_a_module_says_what_it_is_for(path: Path) -> None:
    """Every module begins with a docstring."""
    assert ast.get_docstring(tree(path))


@each_module
def test_few_catch_everything(path: Path) -> None:
    """A bug becomes an answer in the boundary, and elsewhere a line of the log of who goes on after it.

    Elsewhere it may be cleaned up after, but goes on its way.
    """
    handlers = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ExceptHandler)]
    wrong = [f"{name_of(path)}:{handler.lineno}" for handler in handlers if _swallows_everything(handler)]
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    wrong += [f"{name_of(path)}:{call.lineno}" for call in calls if _suppresses_everything(call)]
    assert name_of(path) in CATCH_EVERYTHING or wrong == []


def _swallows_everything(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {ast.unparse(each) if each else "BaseException" for each in caught}
    last = handler.body[-1]
    raised_again = isinstance(last, ast.Raise) and last.exc is None
    return "Exception" in names or ("BaseException" in names and not raised_again)


def _suppresses_everything(call: ast.Call) -> bool:
    called = ast.unparse(call.func).rpartition(".")[2]
    return called == "suppress" and any(
        ast.unparse(each) in {"Exception", "BaseException"} for each in call.args
    )
