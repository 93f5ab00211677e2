"""Where the service is and who calls: flags, then the environment, then what `./dev run` leaves behind."""

import argparse
import os
import re
from pathlib import Path

from contactservice import ContactClient

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEV_TOKEN = Path(".contactservice/data/dev-token")
_LOOPBACK = re.compile(r"(127(\.\d+){3}|0\.0\.0\.0|localhost|\[::1?\]):\d+|unix:.*")
_PREFIX = "CONTACTSERVICE_"
# Variables of the command alone; the service has its own.
VARIABLES = frozenset(
    _PREFIX + name
    for name in (
        "ACCOUNT",
        "TOKEN",
        "TOKEN_FILE",
        "TLS_ROOTS",
        "TLS_CLIENT_CERT",
        "TLS_CLIENT_KEY",
        "INSECURE",
    )
)


class UsageError(Exception):
    """What was asked for makes no sense; nothing was done."""


def add_settings(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "settings", "CONTACTSERVICE_ADDRESS is that for --address, and so on, but not for --timeout"
    )
    group.add_argument("--address", help=f"host:port of the service (default: {DEFAULT_ADDRESS})")
    group.add_argument(
        "--token", help="the token; others of this machine see flags, they do not see variables"
    )
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"the token in a file (default on loopback: {DEV_TOKEN})",
    )
    group.add_argument("--account", help="for a token of several accounts: which one")
    group.add_argument("--tls-roots", type=Path, metavar="FILE", help="PEM of the authorities to trust")
    group.add_argument("--tls-client-cert", type=Path, metavar="FILE", help="PEM of the own certificate")
    group.add_argument("--tls-client-key", type=Path, metavar="FILE", help="PEM of its key")
    group.add_argument(
        "--insecure",
        action="store_true",
        default=None,
        help="no TLS; the default on loopback without --tls-*",
    )
    group.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="of a call (default: %(default)g)"
    )


def client_for(options: argparse.Namespace) -> ContactClient:
    """The client of these settings; raises UsageError for a file that cannot be read, or for half a pair."""
    address = address_of(options)
    roots, certificate, key = (
        _pem(options, name) for name in ("tls_roots", "tls_client_cert", "tls_client_key")
    )
    token, token_file = _credential(options, address)
    try:
        return ContactClient(
            address,
            token=token,
            token_file=token_file,
            account=_setting(options, "account"),
            insecure=is_insecure(options),
            root_certificates=roots,
            certificate_chain=certificate,
            private_key=key,
            timeout=options.timeout,
            wait_for_ready=False,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def address_of(options: argparse.Namespace) -> str:
    return _setting(options, "address") or DEFAULT_ADDRESS


def is_insecure(options: argparse.Namespace) -> bool:
    if (said := _setting(options, "insecure")) is not None:
        return said not in {"", "0", "false"}
    names = ("tls_roots", "tls_client_cert", "tls_client_key")
    is_local = _LOOPBACK.fullmatch(address_of(options)) is not None
    return is_local and not any(_setting(options, name) for name in names)


def account_of(options: argparse.Namespace) -> str | None:
    return _setting(options, "account")


def _credential(options: argparse.Namespace, address: str) -> tuple[str | None, Path | None]:
    token, file = options.token, options.token_file
    if not (token or file):
        token, file = os.environ.get(_PREFIX + "TOKEN"), os.environ.get(_PREFIX + "TOKEN_FILE")
    if token:
        return token, None
    if file:
        return None, _readable(Path(file))
    # A token of this machine is not for strangers.
    return None, DEV_TOKEN if _LOOPBACK.fullmatch(address) and DEV_TOKEN.exists() else None


def _setting(options: argparse.Namespace, name: str) -> str | None:
    given = getattr(options, name)
    return str(given) if given is not None else os.environ.get(_PREFIX + name.upper())


def _pem(options: argparse.Namespace, name: str) -> bytes | None:
    path = _setting(options, name)
    return _readable(Path(path)).read_bytes() if path else None


def _readable(path: Path) -> Path:
    try:
        path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    return path
