"""Arguments that several commands share: the fields of a contact, a filter, an order."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from contactservice._fields import Order
from contactservice.cli.settings import add_settings
from contactservice.v1.contact_pb2 import Contact, ContactFilter

TEXTS = ("fingerprint", "name", "description", "email", "phone", "nickname", "preferences")
ORDERS: dict[str, Order] = {"newest": "NEWEST_FIRST", "oldest": "OLDEST_FIRST"}
Commands = Any  # argparse names the class of what add_subparsers returns nowhere


def command(commands: Commands, name: str, run: Callable[..., None], text: str) -> argparse.ArgumentParser:
    """A command with the settings that all have."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    parser.set_defaults(command=run)
    add_settings(parser)
    return parser


def add_fields(parser: argparse.ArgumentParser) -> None:
    for name in TEXTS:
        parser.add_argument(f"--{name}")
    parser.add_argument("--metadata", type=_object, metavar="JSON", help="a JSON object")
    parser.add_argument(
        "--verified-at",
        type=_time,
        metavar="TIME",
        help="when the identity was confirmed, such as 2026-01-31T12:00:00Z",
    )


def contact_of(options: argparse.Namespace) -> Contact:
    """The fields that were given."""
    given = {
        name: getattr(options, name) for name in (*TEXTS, "metadata") if getattr(options, name) is not None
    }
    contact = json_format.ParseDict(given, Contact())
    if options.verified_at is not None:
        contact.verified_at.CopyFrom(options.verified_at)
    return contact


def add_filter(parser: argparse.ArgumentParser, *, is_required: bool = False) -> None:
    example = '\'{"metadata": {"plan": "pro"}, "trusted": true}\''
    default = "" if is_required else " (default: all)"
    parser.add_argument(
        "--filter",
        type=_filter,
        required=is_required,
        metavar="JSON",
        help=f"a ContactFilter, such as {example}{default}",
    )


def add_order(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--order", choices=ORDERS, default=default, help="default: %(default)s")


def _time(text: str) -> Timestamp:
    time = Timestamp()
    try:
        time.FromJsonString(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return time


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("no JSON object")
    return value


def _filter(text: str) -> ContactFilter:
    try:
        return json_format.ParseDict(_object(text), ContactFilter())
    except json_format.ParseError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
