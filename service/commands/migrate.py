"""`contactservice migrate`: makes the indexes of a database that holds contacts."""

import argparse

import uvloop

from service.commands.database import database
from service.commands.options import add_settings, config_of
from service.storage.migration import migrate


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "migrate", help="make the indexes of a database that holds contacts", allow_abbrev=False
    )
    command.set_defaults(command=_migrate)
    add_settings(command)


def _migrate(options: argparse.Namespace) -> None:
    config = config_of(options)
    with database(config) as (uri, _):
        made = uvloop.run(migrate(uri, config.database, config.store_timeout))
    print(f"made {', '.join(sorted(made))}" if made else "nothing to do: all indexes are there")
