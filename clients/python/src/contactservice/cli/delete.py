"""`contacts delete`: a contact and what is linked to it, for ever."""

import argparse

from contactservice import ContactClient
from contactservice.cli.arguments import Commands, command
from contactservice.cli.output import show


def add(commands: Commands) -> None:
    parser = command(commands, "delete", _delete, "delete a contact for ever, and show the receipt")
    parser.add_argument("id")
    parser.add_argument("--etag", default="", help="only if this is still the etag")
    parser.add_argument("--allow-missing", action="store_true", help="one that is not there is no error")


def _delete(client: ContactClient, options: argparse.Namespace) -> None:
    show(client.delete(options.id, etag=options.etag, allow_missing=options.allow_missing))
