"""`contacts`: finds the command, and tells in one sentence why it could not do its work.

Exit codes: 0 done, 1 an error of the service or of a file, 2 usage, 130 Ctrl-C, 141 nobody reads the output.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

# gRPC's own lines on stderr repeat what we say better. It asks for this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from contactservice import ContactServiceError, ExportIncomplete
from contactservice.cli import (
    count,
    create,
    delete,
    doctor,
    ensure,
    export,
    get,
    listing,
    purge,
    update,
    watch,
)
from contactservice.cli.settings import UsageError, client_for

_COMMANDS = (ensure, create, get, update, delete, listing, export, watch, count, purge, doctor)


def main(arguments: Sequence[str] | None = None) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # JSON is UTF-8, whatever the locale says.
        sys.stdout.reconfigure(encoding="utf-8")
    sys.exit(_code(_parser().parse_args(arguments)))


def _code(options: argparse.Namespace) -> int:
    try:
        code = _run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, and Python must not complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    return code


def _run(options: argparse.Namespace) -> int:
    try:
        with client_for(options) as client:
            options.command(client, options)
    except (UsageError, ValueError) as error:
        return _told(str(error), 2)
    except ContactServiceError as error:
        violations = [f"\n  {each.field}: {each.rule}" for each in error.violations]
        return _told(str(error) + "".join(violations), 1)
    except BrokenPipeError:
        raise
    except (ExportIncomplete, OSError) as error:
        return _told(str(error), 1)
    return 0


def _told(sentence: str, code: int) -> int:
    print(f"contacts: {sentence}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="contacts", description="The contacts of an account of ContactService; results are JSON."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('contactservice')}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for each in _COMMANDS:
        each.add(commands)
    return parser
