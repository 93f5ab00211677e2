"""`contactservice health`: whether the server of these settings serves, for probes; 0 if it does, else 1."""

import argparse

from service.commands.options import add_settings, config_of
from service.rpc.health_check import ASKED, check


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("health", help="ask a running server; exit code 0 if it serves, else 1")
    command.set_defaults(command=_health)
    command.add_argument("--service", choices=sorted(ASKED, reverse=True), default="readiness")
    command.add_argument(
        "--timeout", type=float, default=3.0, metavar="SECONDS", help="for the answer (default: %(default)s)"
    )
    # All of them, as the environment of a container has more than address and certificate.
    add_settings(command)


def _health(options: argparse.Namespace) -> None:
    check(config_of(options), options.service, options.timeout)
