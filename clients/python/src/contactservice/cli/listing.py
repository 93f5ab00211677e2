"""`contacts list`: contacts, one a line."""

import argparse
from itertools import islice

from contactservice import ContactClient
from contactservice.cli.arguments import ORDERS, Commands, add_filter, add_order, command
from contactservice.cli.output import show


def add(commands: Commands) -> None:
    parser = command(commands, "list", _list, "show the contacts that match, one a line")
    add_filter(parser)
    add_order(parser, "newest")
    parser.add_argument("--limit", type=int, metavar="N", help="how many at most (default: all)")
    parser.add_argument("--page-size", type=int, default=0, metavar="N", help="how many a call fetches")


def _list(client: ContactClient, options: argparse.Namespace) -> None:
    size = options.page_size or min(options.limit or 1000, 1000)
    found = client.list(options.filter, order=ORDERS[options.order], page_size=size)
    for contact in islice(found, options.limit):
        show(contact)
