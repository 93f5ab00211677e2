"""The ready file: where the service serves, for tools that wait for it. No credential is in it."""

import os
import re
from pathlib import Path

import orjson

from service.config import Config
from service.rpc.listening import Address, CannotServe


def write(config: Config, mongodb_uri: str, address: Address, ops_address: str | None) -> None:
    """Writes it whole, where --ready-file asks for it; raises CannotServe."""
    if config.ready_file:
        facts = {
            "address": str(address),
            "ops_address": ops_address,
            "mongodb_uri": without_credentials(mongodb_uri),
            "database": config.database,
            "pid": os.getpid(),
        }
        _write_whole(config.ready_file, orjson.dumps(facts) + b"\n")


def without_credentials(uri: str) -> str:
    """The URI without user and password, and without the options that hold secrets."""
    without_user = re.sub(r"//[^@/]*@", "//", uri)
    option = r"(?:tlsCertificateKeyFilePassword|authMechanismProperties)=[^&]*"
    return re.sub(rf"([?&]){option}&?", r"\1", without_user, flags=re.IGNORECASE).rstrip("?&")


def _write_whole(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + f".{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise CannotServe(f"--ready-file {path} cannot be written: {error.strerror}") from error
