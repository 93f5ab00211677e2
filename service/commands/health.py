"""`contactservice health`: whether the server of these settings serves, for probes; 0 if it does, else 1."""

import argparse

from service.commands.options import config_of
from service.config import Config
from service.rpc.health_check import ASKED, check

_SETTINGS = ("address", "tls_cert", "tls_key")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("health", help="ask a running server; exit code 0 if it serves, else 1")
    command.set_defaults(command=_health)
    command.add_argument("--service", choices=sorted(ASKED, reverse=True), default="readiness")
    command.add_argument(
        "--timeout", type=float, default=3.0, metavar="SECONDS", help="for the answer (default: %(default)s)"
    )
    for name in _SETTINGS:
        text = Config.model_fields[name].description
        command.add_argument(
            "--" + name.replace("_", "-"), default=argparse.SUPPRESS, metavar="VALUE", help=text
        )


def _health(options: argparse.Namespace) -> None:
    check(config_of(options), options.service, options.timeout)
