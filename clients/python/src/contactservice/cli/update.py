"""`contacts update`: some fields of a contact, and no others."""

import argparse

from contactservice import ContactClient
from contactservice.cli.arguments import TEXTS, Commands, add_fields, command, contact_of
from contactservice.cli.output import show

_FIELDS = (*TEXTS, "metadata", "verified_at")


def add(commands: Commands) -> None:
    parser = command(commands, "update", _update, "change the fields that are given")
    parser.add_argument("id")
    add_fields(parser)
    parser.add_argument(
        "--clear", action="append", default=[], choices=_FIELDS, metavar="FIELD", help="may be repeated"
    )
    parser.add_argument(
        "--replace-metadata", action="store_true", help="instead of merging, where null deletes"
    )
    parser.add_argument("--etag", help="only if this is still the etag")


def _update(client: ContactClient, options: argparse.Namespace) -> None:
    contact = contact_of(options)
    contact.id = options.id
    given = [name for name in _FIELDS if getattr(options, name) is not None]
    updated = client.update(
        contact,
        mask=[*given, *options.clear],
        etag=options.etag,
        replace_metadata=options.replace_metadata,
    )
    show(updated)
