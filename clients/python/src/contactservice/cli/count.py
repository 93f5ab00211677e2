"""`contacts count`: how many there are."""

import argparse

from contactservice import ContactClient
from contactservice.cli.arguments import Commands, add_filter, command
from contactservice.cli.output import show_object


def add(commands: Commands) -> None:
    parser = command(commands, "count", _count, "count the contacts that match")
    add_filter(parser)
    parser.add_argument("--max-count", type=int, default=0, metavar="N", help="where counting ends")


def _count(client: ContactClient, options: argparse.Namespace) -> None:
    counted = client.count(options.filter, max_count=options.max_count)
    show_object({"count": counted.count, "capped": counted.capped})
