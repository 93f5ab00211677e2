"""`contacts watch`: changes, one a line, until Ctrl-C."""

import argparse
import sys

from contactservice import ContactClient
from contactservice.cli.arguments import Commands, add_filter, command
from contactservice.cli.output import show


def add(commands: Commands) -> None:
    parser = command(commands, "watch", _watch, "show the changes of the contacts that match, one a line")
    add_filter(parser)
    parser.add_argument(
        "--resume-token",
        default="",
        metavar="TOKEN",
        help="where to go on: the resumeToken of a line, or the watch token of an export (default: now)",
    )
    parser.add_argument("--heartbeats", action="store_true", help="show also that there is no news")


def _watch(client: ContactClient, options: argparse.Namespace) -> None:
    for message in client.watch(options.filter, resume_token=options.resume_token):
        if options.heartbeats or message.HasField("change"):
            show(message)
            # Whoever reads this acts on each line when it comes.
            sys.stdout.flush()
