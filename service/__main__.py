"""`contactservice`: finds the command, and tells in one sentence why one could not do its work."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

# gRPC's own lines on stderr (a taken port, a reset connection) repeat what we say better.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from service.commands import config, doctor, health, migrate, serve, token
from service.ops.workers import NotDrained, WorkerCannotServe
from service.rpc.health_check import Unhealthy
from service.storage.mongod import MongodUnavailable

_DISTRIBUTION = "contactservice-server"
_EXPECTED = (
    *serve.EXPECTED_OF_A_WORKER,
    MongodUnavailable,
    NotDrained,
    Unhealthy,
    WorkerCannotServe,
)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except _EXPECTED as error:
        sys.exit(f"contactservice: {error}")
    except KeyboardInterrupt:
        # Ctrl-C before the server took the signal over: the own mongod is still on its way up.
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="contactservice", description="The system of record for the people a product talks to."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version(_DISTRIBUTION)}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for noun in (serve, migrate, doctor, health, config, token):
        noun.add(commands)
    return parser


if __name__ == "__main__":
    main()
