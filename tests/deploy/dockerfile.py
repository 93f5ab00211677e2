"""The Dockerfile as steps, and what of the checkout its builder gets to see."""

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Stage:
    """What stands from one FROM to the next: (instruction, value) in their order."""

    image: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]

    def only(self, instruction: str) -> str:
        [value] = self.all(instruction)
        return value

    def words(self, instruction: str) -> list[str]:
        """Of an instruction in exec form."""
        _, bracket, words = self.only(instruction).partition("[")
        return list(json.loads(bracket + words))

    @property
    def environment(self) -> dict[str, str]:
        pairs = [pair.partition("=") for value in self.all("ENV") for pair in value.split()]
        return {name: text for name, _, text in pairs}


def stages() -> list[Stage]:
    """Each FROM with the default values of the arguments before it."""
    parser = DockerfileParser(fileobj=io.BytesIO((ROOT / "Dockerfile").read_bytes()))
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for each in parser.structure:
        name, value = each["instruction"], each["value"]
        if name == "COMMENT":
            continue
        if name == "ARG" and not found:
            argument, _, default = value.partition("=")
            arguments[argument] = default
        elif name == "FROM":
            image = value.split()[0]
            for argument, default in arguments.items():
                image = image.replace(f"${{{argument}}}", default)
            found.append(Stage(image))
        else:
            found[-1].steps.append((name, value))
    return found


def copy(source: str, target: Path) -> None:
    """COPY of one file or folder from the checkout, without what .dockerignore leaves out."""
    origin = ROOT / source
    files = [origin] if origin.is_file() else [path for path in origin.rglob("*") if path.is_file()]
    for path in files:
        if not ignored(path.relative_to(ROOT)):
            place = target / path.relative_to(origin) if origin.is_dir() else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def sources(value: str) -> list[str]:
    """What a COPY without options takes."""
    return value.split()[:-1]


def ignored(path: Path) -> bool:
    """Whether .dockerignore keeps the path of the checkout from the builder."""
    ignored = False
    for pattern in _patterns():
        kept, bare = pattern.startswith("!"), pattern.removeprefix("!")
        if _matches(path, bare):
            ignored = not kept
    return ignored


def _matches(path: Path, pattern: str) -> bool:
    # The last rule that fits a file or a folder above it decides, as in the builder.
    above = [path, *path.parents][:-1]
    if pattern.startswith("**/"):
        return any(fnmatch(each.name, pattern.removeprefix("**/")) for each in above)
    return any(each.as_posix() == pattern or (pattern == "*" and len(each.parts) == 1) for each in above)


def _patterns() -> Iterator[str]:
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            yield line
