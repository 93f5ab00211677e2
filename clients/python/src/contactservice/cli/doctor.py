"""`contacts doctor`: can the service be reached, is the credential good, and for which account."""

import argparse

from contactservice import CallerRefused, ContactClient
from contactservice.cli.arguments import Commands, command
from contactservice.cli.output import show_object
from contactservice.cli.settings import account_of, address_of, is_insecure


def add(commands: Commands) -> None:
    command(commands, "doctor", _doctor, "check that the service answers, and that the token is good")


def _doctor(client: ContactClient, options: argparse.Namespace) -> None:
    found = {
        "address": address_of(options),
        "tls": not is_insecure(options),
        "account": account_of(options) or "that of the credential",
        "reads": True,
    }
    try:
        client.count(max_count=1)
    except CallerRefused as error:
        # The service knows the credential and its scopes: one that may only export is good, too.
        if error.reason != "SCOPE_MISSING":
            raise
        found["reads"] = False
    show_object(found)
