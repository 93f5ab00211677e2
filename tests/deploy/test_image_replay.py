"""The steps of the Dockerfile, done in a clean folder, and the service started as the image starts it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_service_pb2_grpc import ContactServiceStub
from service.rpc import token_file
from service.rpc.auth import SCOPES
from tests.deploy.dockerfile import copy, sources, stages
from tests.process import eventually

BUILD, FINAL = stages()
# Wheels of forty packages from a package index, and a compiler.
pytestmark = pytest.mark.timeout(600)


class Image:
    """What the steps left, in a folder instead of a root; `run` is `docker run --read-only`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.home = folder / "home-that-is-not-there"
        self.empty = folder / "empty"
        self.empty.mkdir()
        self._python = folder / "bin"
        self._python.mkdir()
        # No link: from one, a venv would take the folder of the link for that of Python.
        python = self._python / "python"
        python.write_text(f'#!/bin/sh\nexec "{getattr(sys, "_base_executable", sys.executable)}" "$@"\n')
        python.chmod(0o755)

    def build(self) -> None:
        """All but apt-get, for what is here already: a compiler."""
        here = self._folder
        environment = {**os.environ, "PATH": f"{self._python}:{os.environ['PATH']}"}
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
            environment.pop(name, None)
        for instruction, value in BUILD.steps:
            if instruction == "WORKDIR":
                here = Path(self._inside(value))
                here.mkdir()
            elif instruction == "COPY":
                self._copy(here, value)
            elif not value.startswith("apt-get"):
                command = ["sh", "-euc", self._inside(value)]
                done = subprocess.run(command, cwd=here, env=environment, capture_output=True, check=False)
                assert done.returncode == 0, (value, done.stdout[-2000:], done.stderr[-2000:])
        for path in (self._folder / "opt").rglob("*"):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)

    def run(self, *words: str, **changes: str) -> "subprocess.Popen[bytes]":
        environment = {name: self._inside(value) for name, value in FINAL.environment.items()}
        return subprocess.Popen(
            words,
            cwd=self.empty,
            env={**environment, "HOME": str(self.home), **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def files(self) -> set[tuple[str, int]]:
        """All of them, with the time of their last change: root may write what is not writable."""
        folders = (self._folder / "opt", self.empty, self.home)
        paths = [path for folder in folders for path in folder.rglob("*")]
        return {(str(path), path.lstat().st_mtime_ns) for path in paths}

    def _copy(self, here: Path, value: str) -> None:
        target = here / value.rsplit(maxsplit=1)[-1]
        for source in sources(value):
            is_folder = value.endswith("/") or len(sources(value)) > 1
            copy(source, target / Path(source).name if is_folder else target)

    def _inside(self, text: str) -> str:
        return re.sub(r"(?<![\w.])/(build|opt/)", rf"{self._folder}/\1", text)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    try:
        image = Image(folder)
        image.build()
        yield image
    finally:
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(folder)


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    output, _ = process.communicate(timeout=60)
    return process.returncode, output.decode()


def test_it_tells_its_version(image: Image) -> None:
    """The entry point starts from an empty folder, without a home and without a file to write."""
    code, output = ended(image.run(*FINAL.words("ENTRYPOINT"), "--version"))
    assert code == 0, output
    assert output.startswith("contactservice ")


def test_it_has_no_database_to_fall_back_on(image: Image, tmp_path: Path) -> None:
    """Without a MongoDB that is named it does not start, and says which setting is missing."""
    code, output = ended(
        image.run("contactservice", "serve", "--address", "127.0.0.1:0", "--data-dir", str(tmp_path / "none"))
    )
    assert code == 1
    assert output.startswith("contactservice: ")
    assert "Traceback" not in output


def test_it_serves_is_healthy_writes_nothing_and_stops(image: Image, mongodb_uri: str) -> None:
    """The steps of the image give a service that works with a root that cannot be written."""
    before = image.files()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        token = token_file.add(folder / "tokens.jsonl", "acme", SCOPES)
        settings = {
            "CONTACTSERVICE_ADDRESS": "127.0.0.1:0",
            "CONTACTSERVICE_TOKENS": str(folder / "tokens.jsonl"),
            "CONTACTSERVICE_READY_FILE": str(folder / "ready.json"),
            "CONTACTSERVICE_DATABASE": "image",
            "MONGODB_URI": mongodb_uri,
        }
        served = image.run(*FINAL.words("ENTRYPOINT"), *FINAL.words("CMD"), **settings)
        try:
            eventually(lambda: (folder / "ready.json").exists() or served.poll() is not None, 60)
            assert served.poll() is None, ended(served)
            address = json.loads((folder / "ready.json").read_text())["address"]
            asked = image.run(*FINAL.words("HEALTHCHECK"), CONTACTSERVICE_ADDRESS=address)
            assert ended(asked) == (0, "")
            with grpc.insecure_channel(address) as channel:
                answer = ContactServiceStub(channel).EnsureContact(
                    pb.EnsureContactRequest(contact={"email": "ann@example.com"}),
                    metadata=[("authorization", f"Bearer {token}")],
                    timeout=20,
                )
            assert answer.contact.id.startswith("ct_")
            served.terminate()
            code, log = ended(served)
        finally:
            with suppress(ProcessLookupError):
                served.kill()
            served.wait()
    assert code == 0, log
    assert "the compiled part is not built" not in log
    assert image.files() == before
