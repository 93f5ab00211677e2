"""The protos and what is generated from them: fresh, documented, compatible, fit for old and new runtimes."""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STUBS = ROOT / "clients" / "python" / "src"
DESCRIPTORS = ROOT / "service" / "rpc" / "descriptors.binpb"
SERVICE = "contactservice.v1.ContactService"
GO_STUBS = "clients/go/contactservice/v1"
TYPESCRIPT_STUBS = "clients/typescript/src/generated"
GENERATED = (
    "clients/python/src",
    GO_STUBS,
    TYPESCRIPT_STUBS,
    "service/rpc/descriptors.binpb",
)
GENERATORS = (
    "protos",
    "requirements/stubs.txt",
    "requirements/typescript",
    "clients/go/go.mod",
    "clients/go/go.sum",
)
# The same under every runtime: a message out and back through a stub and a servicer.
ROUND_TRIP = """
from concurrent import futures
import google.protobuf
import grpc
from contactservice.v1 import contact_pb2, contact_service_pb2, contact_service_pb2_grpc
from contactservice.v1 import deletion_pb2, errors_pb2, export_pb2

class Echo(contact_service_pb2_grpc.ContactServiceServicer):
    def EnsureContact(self, request, context):
        return contact_service_pb2.EnsureContactResponse(contact=request.contact, created=True)

server = grpc.server(futures.ThreadPoolExecutor(1))
contact_service_pb2_grpc.add_ContactServiceServicer_to_server(Echo(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
sent = contact_pb2.Contact(name="Ann", metadata={"plan": "pro", "tags": [1, None]})
sent.verified_at.FromJsonString("2026-11-23T20:00:00.123Z")
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    stub = contact_service_pb2_grpc.ContactServiceStub(channel)
    answer = stub.EnsureContact(contact_service_pb2.EnsureContactRequest(contact=sent), timeout=10)
server.stop(None).wait()
if answer.contact != sent or not answer.created:
    raise SystemExit(f"sent {sent}, got {answer}")
print(grpc.__version__, google.protobuf.__version__)
"""


@pytest.fixture(scope="session")
def floor_python() -> Path:
    """Python with the oldest versions that the client package promises to run with; installed once."""
    lock = ROOT / "requirements" / "client-floor.txt"
    venv = ROOT / ".venvs" / "client-floor"
    stamp = venv / "stamp"
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    python = venv / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        run(sys.executable, "-m", "venv", "--clear", venv).check_returncode()
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        installed = run(*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock)
        assert installed.returncode == 0, installed.stderr
        stamp.write_text(wanted)
    return python


@pytest.mark.timeout(300)
def test_stubs_work_at_the_floor(floor_python: Path) -> None:
    """With the oldest grpcio and protobuf that are promised, a call goes through and nothing warns."""
    assert locked("client-floor.txt", "grpcio", "protobuf") == ["1.76.0", "6.31.1"]
    assert round_trip(floor_python) == ["1.76.0", "6.31.1"]


def test_stubs_work_with_protobuf_7() -> None:
    """With the versions that the service runs with, of which protobuf is a 7, a call goes through too."""
    grpcio, protobuf = round_trip(Path(sys.executable))
    assert [grpcio, protobuf] == locked("run.txt", "grpcio", "protobuf")
    assert protobuf.startswith("7.")


def test_the_server_asks_for_the_stubs_that_it_was_tested_with() -> None:
    """It depends on the version of the client package that stands beside it, and on no other."""
    files = (ROOT / "pyproject.toml", ROOT / "clients" / "python" / "pyproject.toml")
    server, client = (tomllib.loads(file.read_text())["project"] for file in files)
    wanted = [each for each in server["dependencies"] if re.match(r"contactservice\b", each)]
    assert wanted == [f"{client['name']}=={client['version']}"]


@pytest.mark.timeout(300)
def test_nothing_generated_is_stale() -> None:
    """What is committed is what the protos give."""
    assert generate_check(ROOT) == (0, [])


@pytest.mark.timeout(300)
def test_check_names_each_stale_file(tmp_path: Path) -> None:
    """A file that differs, one that is missing and one too many have a line each, and the exit code is 1."""
    copy_generated(tmp_path)
    stubs = "clients/python/src/contactservice/v1"
    (tmp_path / stubs / "contact_pb2.pyi").write_text("")
    (tmp_path / "service/rpc/descriptors.binpb").unlink()
    (tmp_path / stubs / "gone_pb2.py").write_text("")
    code, lines = generate_check(tmp_path)
    assert code == 1
    assert lines == [
        f"stale: {stubs}/contact_pb2.pyi differs; run protos/generate",
        f"stale: {stubs}/gone_pb2.py is generated from no proto; run protos/generate",
        "stale: service/rpc/descriptors.binpb is missing; run protos/generate",
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("tool", "stub"),
    [("go", f"{GO_STUBS}/contact.pb.go"), ("npm", f"{TYPESCRIPT_STUBS}/google/rpc/status.ts")],
)
def test_stubs_of_other_languages_are_compared_where_their_tools_are(
    tmp_path: Path, tool: str, stub: str
) -> None:
    """One that was changed by hand is stale, as those of Python are."""
    if shutil.which(tool) is None:
        pytest.skip(f"NOT TESTED: {tool} is not installed")
    copy_generated(tmp_path)
    (tmp_path / stub).write_text("")
    assert generate_check(tmp_path) == (1, [f"stale: {stub} differs; run protos/generate"])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("arguments", [["--check"], []], ids=["check", "write"])
def test_without_tools_stubs_of_other_protos_are_stale(tmp_path: Path, arguments: list[str]) -> None:
    """Where go and npm are not, a changed proto is told with the tool that the stubs need, and they stay."""
    copy_generated(tmp_path)
    generate = (sys.executable, tmp_path / "protos" / "generate", *arguments)
    assert run("env", "PATH=", *generate).returncode == 0
    with (tmp_path / "protos/contactservice/v1/errors.proto").open("a") as proto:
        proto.write("// One more line.\n")
    result = run("env", "PATH=", *generate)
    assert result.returncode == 1
    told = [
        f"stale: {stubs}/protos.sha256 differs; run protos/generate where {tool} is"
        for stubs, tool in ((GO_STUBS, "go"), (TYPESCRIPT_STUBS, "npm"))
    ]
    assert [line for line in result.stderr.splitlines() if " where " in line] == told
    for stubs in (GO_STUBS, TYPESCRIPT_STUBS):
        assert contents(tmp_path / stubs) == contents(ROOT / stubs)


@pytest.mark.parametrize(
    "arguments", [["lint"], ["breaking", "--against", "protos/released.binpb"]], ids=" ".join
)
def test_buf_has_no_complaint(arguments: list[str]) -> None:
    """The protos keep every lint rule and break nothing that was released."""
    result = run(program("buf", Path(sys.executable).parent), *arguments)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def copy_generated(target: Path) -> None:
    """The protos and all that is made from them, with the generators that are installed here."""
    for path in (*GENERATED, *GENERATORS):
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / path, target / path)
    (target / ".venvs").symlink_to(ROOT / ".venvs")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def round_trip(python: Path) -> list[str]:
    """The versions of grpcio and protobuf under which a call went through, with warnings as errors."""
    result = run("env", f"PYTHONPATH={STUBS}", python, "-W", "error", "-c", ROUND_TRIP)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)


def locked(lock: str, *names: str) -> list[str]:
    text = (ROOT / "requirements" / lock).read_text()
    pins = dict(re.findall(r"^([a-z-]+)==([0-9.]+)", text, re.MULTILINE))
    return [pins[name] for name in names]


def generate_check(root: Path) -> tuple[int, list[str]]:
    result = run(sys.executable, root / "protos" / "generate", "--check")
    return result.returncode, result.stderr.splitlines()


def program(name: str, usual_place: Path) -> str:
    found = shutil.which(name) or shutil.which(name, path=usual_place)
    return found or pytest.skip(f"NOT TESTED: {name} is not installed")
