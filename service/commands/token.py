"""`contactservice token`: adds, lists and revokes the tokens of a token file."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from service.rpc import token_file
from service.rpc.auth import SCOPES


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    token = commands.add_parser("token", help="add, list and revoke tokens of a token file")
    _add_commands(token.add_subparsers(required=True, metavar="command"))


def _add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = commands.add_parser("add", help="append a new token's hash, print the token")
    add.set_defaults(command=_add)
    account = "the account, or '*': any; several when repeated, of which x-account-id names one"
    add.add_argument("--account", required=True, action="append", help=account)
    scopes = "what it may, separated by commas; without this flag everything: %(default)s"
    add.add_argument("--scopes", default=",".join(SCOPES), help=scopes)
    expires = "after a span (90d, 12h, 30m) or at a time (2030-01-31T00:00:00Z); without this flag never"
    add.add_argument("--expires", help=expires)
    add.add_argument("--principal", help="a SPIFFE id or subject: no token, but certificates that name it")
    listing = commands.add_parser("list", help="show ids, accounts, scopes and expiry")
    listing.set_defaults(command=_list)
    revoke = commands.add_parser("revoke", help="remove a token by its id")
    revoke.set_defaults(command=_revoke)
    revoke.add_argument("id", help="the id that `token list` shows")
    for command in (add, listing, revoke):
        command.add_argument("--tokens", required=True, type=Path, help="the token file")


def _add(options: argparse.Namespace) -> None:
    scopes = tuple(scope for scope in options.scopes.split(",") if scope)
    expires = token_file.expiry(options.expires, datetime.now(UTC)) if options.expires else None
    if options.principal:
        token_file.allow(options.tokens, options.principal, options.account, scopes, expires)
    else:
        print(token_file.add(options.tokens, options.account, scopes, expires))


def _list(options: argparse.Namespace) -> None:
    for entry in token_file.read(options.tokens):
        accounts, scopes = ",".join(entry.accounts), ",".join(entry.scopes)
        until = f"until {entry.expires_at}" if entry.expires_at else "does not expire"
        whose = f"  {entry.principal}" if entry.principal else ""
        print(f"{entry.id}  {accounts}  {scopes}  made {entry.created_at}  {until}{whose}")


def _revoke(options: argparse.Namespace) -> None:
    token_file.revoke(options.tokens, options.id)
    print(f"revoked {options.id}")
