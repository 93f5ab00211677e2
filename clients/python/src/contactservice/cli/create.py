"""`contacts create`: a contact, even of somebody like another."""

import argparse

from contactservice import ContactClient
from contactservice.cli.arguments import Commands, add_fields, command, contact_of
from contactservice.cli.output import show


def add(commands: Commands) -> None:
    parser = command(commands, "create", _create, "create a contact")
    add_fields(parser)
    parser.add_argument("--request-id", metavar="TEXT", help="the same text again finds the first contact")


def _create(client: ContactClient, options: argparse.Namespace) -> None:
    show(client.create(contact_of(options), request_id=options.request_id))
