"""The commands of `contactservice`: serve, migrate, token."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

# gRPC's own lines on stderr (a taken port, a reset connection) repeat what we say better.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import uvloop
from pydantic import SecretStr

from service import config as configuration
from service.config import Config, ConfigInvalid
from service.ops import logs, port
from service.ops.workers import SERVING, WorkerCannotServe, Workers, WorkersKilled, tell
from service.rpc import listening, server, token_file
from service.rpc.auth import SCOPES
from service.rpc.health import Revive
from service.rpc.listening import Address, CannotServe
from service.rpc.token_file import TokenFileInvalid
from service.storage.connection import MongodbUriInvalid, connect
from service.storage.gate import Gate
from service.storage.indexes import CannotMigrate
from service.storage.linked_rows import LinkedFileInvalid
from service.storage.mongod import EmbeddedMongod, MongodUnavailable
from service.storage.store import Store

log = logging.getLogger(__name__)

_EXPECTED = (
    CannotMigrate,
    CannotServe,
    ConfigInvalid,
    LinkedFileInvalid,
    MongodUnavailable,
    MongodbUriInvalid,
    TokenFileInvalid,
    WorkerCannotServe,
    WorkersKilled,
)
# -P: not from a folder that happens to be the current one.
_WORKER = (sys.executable, "-P", "-m", "service", "worker")
_MARGIN_SECONDS = 5.0


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except _EXPECTED as error:
        sys.exit(f"contactservice: {error}")
    except KeyboardInterrupt:
        # Ctrl-C before the server took the signal over: the own mongod is still on its way up.
        sys.exit(130)


def _serve(options: argparse.Namespace) -> None:
    server.check_grpc()
    config = _config(options)
    listening.certificates(config)
    listening.credentials(config)
    server.rules(config)
    if config.workers == 1:
        _serve_alone(config)
    else:
        _serve_together(config)


def _serve_alone(config: Config) -> None:
    # Said before a database is started for nothing; the bind that counts is gRPC's.
    with _port(port.bound, Address.parse(config.address)):
        pass
    # The own mongod starts before gRPC and the event loop: never fork after those have.
    with _database(config) as (uri, revive):
        uvloop.run(server.serve(config, uri, revive, partial(server.write_ready_file, config, uri)))


def _serve_together(config: Config) -> None:
    if sys.platform != "linux":
        raise CannotServe("--workers: only Linux spreads the connections of one port over several processes")
    wanted = Address.parse(config.address)
    with _port(port.claimed, wanted) as holder, _database(config) as (uri, revive):
        address = Address(wanted.host, holder.getsockname()[1])
        grace = config.drain_timeout + config.store_timeout + _MARGIN_SECONDS
        workers = Workers(_WORKER, _environment(config, address, uri), config.workers, grace)
        asyncio.run(workers.run(partial(_all_serve, config, uri, address), revive))


def _environment(config: Config, address: Address, uri: str) -> dict[str, str]:
    changes = {"address": str(address), "mongodb_uri": SecretStr(uri)}
    return configuration.environment_of(config.model_copy(update=changes))


def _all_serve(config: Config, uri: str, address: Address) -> None:
    log.info("all workers serve", extra={"address": str(address), "workers": config.workers})
    server.write_ready_file(config, uri, address)


def _serve_as_worker(_: argparse.Namespace) -> None:
    try:
        config = configuration.load({})
        logs.configure(config.log_format, config.log_level, os.getpid())
        uri = config.mongodb_uri.get_secret_value() if config.mongodb_uri else ""
        served = server.serve(config, uri, lambda: None, lambda _: tell(SERVING), shares_port=True)
        uvloop.run(served)
    except _EXPECTED as error:
        # Told by the process that started this one, once for all workers.
        tell(str(error))
        sys.exit(1)


def _migrate(options: argparse.Namespace) -> None:
    config = _config(options)
    with _database(config) as (uri, _):
        made = uvloop.run(_migrated(config, uri))
    print(f"made {', '.join(sorted(made))}" if made else "nothing to do: all indexes are there")


async def _migrated(config: Config, uri: str) -> set[str]:
    store = Store(connect(uri), config.database, Gate())
    try:
        return await store.migrate()
    finally:
        await store.close()


def _token_add(options: argparse.Namespace) -> None:
    scopes = tuple(scope for scope in options.scopes.split(",") if scope)
    expires = token_file.expiry(options.expires, datetime.now(UTC)) if options.expires else None
    if options.principal:
        token_file.allow(options.tokens, options.principal, options.account, scopes, expires)
    else:
        print(token_file.add(options.tokens, options.account, scopes, expires))


def _token_list(options: argparse.Namespace) -> None:
    for entry in token_file.read(options.tokens):
        accounts, scopes = ",".join(entry.accounts), ",".join(entry.scopes)
        until = f"until {entry.expires_at}" if entry.expires_at else "does not expire"
        whose = f"  {entry.principal}" if entry.principal else ""
        print(f"{entry.id}  {accounts}  {scopes}  made {entry.created_at}  {until}{whose}")


def _token_revoke(options: argparse.Namespace) -> None:
    token_file.revoke(options.tokens, options.id)
    print(f"revoked {options.id}")


@contextmanager
def _database(config: Config) -> Iterator[tuple[str, Revive]]:
    if config.mongodb_uri:
        yield config.mongodb_uri.get_secret_value(), lambda: None
        return
    mongod = EmbeddedMongod(config.data_dir, config.mongod)
    mongod.start()
    try:
        yield mongod.uri, lambda: _revive(mongod)
    finally:
        mongod.stop()


def _revive(mongod: EmbeddedMongod) -> None:
    try:
        mongod.restart_if_dead()
    except MongodUnavailable as error:
        # Tried again at the next look at the database, as long as the service lives.
        log.error("the own mongod does not start again", extra={"error": str(error)})  # noqa: TRY400


def _config(options: argparse.Namespace) -> Config:
    flags = {name: value for name, value in vars(options).items() if name in Config.model_fields}
    config = configuration.load(flags)
    logs.configure(config.log_format, config.log_level)
    return config


def _port(take: Callable[[str, int], socket.socket], address: Address) -> socket.socket:
    try:
        return take(address.host, address.port)
    except OSError as error:
        raise CannotServe(server.taken(address)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="contactservice", description="The system of record for the people a product talks to."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    serve = commands.add_parser("serve", help="serve until SIGTERM")
    serve.set_defaults(command=_serve)
    migrate = commands.add_parser("migrate", help="make the indexes of a database that holds contacts")
    migrate.set_defaults(command=_migrate)
    for command in (serve, migrate):
        _add_settings(command)
    # Started by `serve --workers`, with its settings in the environment; without a help it is not listed.
    commands.add_parser("worker").set_defaults(command=_serve_as_worker)
    token = commands.add_parser("token", help="add, list and revoke tokens of a token file")
    _add_token_commands(token.add_subparsers(required=True, metavar="command"))
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    for name, field in Config.model_fields.items():
        flag = "--" + name.replace("_", "-")
        default = argparse.SUPPRESS
        if field.annotation is not bool:
            shown = "" if field.default is None else f" (default: {field.default})"
            command.add_argument(flag, help=f"{field.description}{shown}", default=default, metavar="VALUE")
        elif field.default:
            flag = "--no-" + name.replace("_", "-")
            text = f"do not {field.description}"
            command.add_argument(flag, dest=name, action="store_false", help=text, default=default)
        else:
            command.add_argument(flag, action="store_true", help=field.description, default=default)


def _add_token_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = commands.add_parser("add", help="append a new token's hash, print the token")
    add.set_defaults(command=_token_add)
    account = "the account, or '*': any; several when repeated, of which x-account-id names one"
    add.add_argument("--account", required=True, action="append", help=account)
    add.add_argument("--scopes", default=",".join(SCOPES), help="some of the default: %(default)s")
    add.add_argument("--expires", help="after a span (90d, 12h, 30m) or at a time (2030-01-31T00:00:00Z)")
    add.add_argument("--principal", help="a SPIFFE id or subject: no token, but certificates that name it")
    listing = commands.add_parser("list", help="show ids, accounts, scopes and expiry")
    listing.set_defaults(command=_token_list)
    revoke = commands.add_parser("revoke", help="remove a token by its id")
    revoke.set_defaults(command=_token_revoke)
    revoke.add_argument("id", help="the id that `token list` shows")
    for command in (add, listing, revoke):
        command.add_argument("--tokens", required=True, type=Path, help="the token file")


if __name__ == "__main__":
    main()
