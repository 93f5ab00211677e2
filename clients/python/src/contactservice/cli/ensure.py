"""`contacts ensure`: the one contact of a person."""

import argparse

from contactservice import ContactClient
from contactservice.cli.arguments import Commands, add_fields, command, contact_of
from contactservice.cli.output import show


def add(commands: Commands) -> None:
    parser = command(commands, "ensure", _ensure, "get the contact of a person, or create it")
    add_fields(parser)


def _ensure(client: ContactClient, options: argparse.Namespace) -> None:
    show(client.ensure(contact_of(options)))
