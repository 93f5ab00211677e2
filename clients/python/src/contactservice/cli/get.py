"""`contacts get`: one contact by its id."""

import argparse

from contactservice import ContactClient
from contactservice.cli.arguments import Commands, command
from contactservice.cli.output import show


def add(commands: Commands) -> None:
    parser = command(commands, "get", _get, "show a contact")
    parser.add_argument("id")


def _get(client: ContactClient, options: argparse.Namespace) -> None:
    show(client.get(options.id))
