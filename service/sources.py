"""Where a setting comes from: a flag, the environment, the TOML file or its default, in this order."""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ENVIRONMENT_PREFIX = "CONTACTSERVICE_"
CONFIG_FILE = ENVIRONMENT_PREFIX + "CONFIG"
# Besides CONTACTSERVICE_MONGODB_URI, since it is what platforms set.
MONGODB_URI = "MONGODB_URI"
# Settings of the command `contacts`, which people set in the shell from which they start a service, too.
OF_THE_CLIENT = frozenset(
    ENVIRONMENT_PREFIX + name
    for name in (
        *("ACCOUNT", "INSECURE", "TOKEN", "TOKEN_FILE"),
        *("TLS_CLIENT_CERT", "TLS_CLIENT_KEY", "TLS_ROOTS"),
    )
)


class Source(NamedTuple):
    """`kind` is one of the four, `name` what the operator wrote there."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Sources:
    """What was given where. Variables count in any case, as everywhere in the settings."""

    flags: Collection[str]
    environment: Mapping[str, str]
    file: Path | None
    in_file: Mapping[str, Any]

    @classmethod
    def read(cls, flags: Collection[str], environment: Mapping[str, str], file: Path | None) -> "Sources":
        """Raises OSError or ValueError for a file that cannot be read."""
        in_file = tomllib.loads(file.read_text(encoding="utf-8")) if file else {}
        return cls(flags, {name.upper(): name for name in environment}, file, in_file)

    def of(self, setting: str) -> Source:
        if setting in self.flags:
            return Source("flag", "--" + setting.replace("_", "-"))
        for variable in variables(setting):
            if variable in self.environment:
                return Source("environment", self.environment[variable])
        if self.in_file.keys() & {setting, *variables(setting)}:
            return Source("file", str(self.file))
        return Source("default", "")


def variables(setting: str) -> list[str]:
    """The environment variables of a setting; the first one that is set counts."""
    own = ENVIRONMENT_PREFIX + setting.upper()
    return [own, MONGODB_URI] if setting == "mongodb_uri" else [own]
