"""`contactservice serve`: one process, or a supervisor of several on one port."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from pydantic import SecretStr

from service import config as configuration
from service.commands.database import database
from service.commands.options import add_settings, config_of
from service.config import Config, ConfigInvalid
from service.ops import endpoints, logs, port
from service.ops.endpoints import Endpoints, OpsPortUnusable
from service.ops.together import Together
from service.ops.workers import SERVING, Workers, tell
from service.rpc import listening, ready_file, server
from service.rpc.health import Revive
from service.rpc.lifetime import serve
from service.rpc.listening import Address, CannotServe
from service.rpc.token_file import TokenFileInvalid
from service.storage.connection import MongodbUriInvalid
from service.storage.indexes import CannotMigrate
from service.storage.linked_rows import LinkedFileInvalid

log = logging.getLogger(__name__)

# -P: not from a folder that happens to be the current one.
_WORKER = (sys.executable, "-P", "-m", "service", "worker")
_MARGIN_SECONDS = 7.0
_DESCRIPTION = """Serves until SIGTERM or SIGINT. Then it is not ready at once, takes calls for --drain-delay
seconds, ends those under way within --drain-timeout, and exits with 0; a second signal ends it at once,
with 1. Each setting is also an environment variable (CONTACTSERVICE_ADDRESS) or a line of --config's file."""
EXPECTED_OF_A_WORKER = (
    CannotMigrate,
    CannotServe,
    ConfigInvalid,
    LinkedFileInvalid,
    MongodbUriInvalid,
    OpsPortUnusable,
    TokenFileInvalid,
)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "serve", help="serve until SIGTERM", description=_DESCRIPTION, allow_abbrev=False
    )
    command.set_defaults(command=_serve)
    add_settings(command)
    # Started by `serve --workers`, with its settings in the environment; without a help it is not listed.
    commands.add_parser("worker").set_defaults(command=_serve_as_worker)


def _serve(options: argparse.Namespace) -> None:
    server.check_grpc()
    config = config_of(options)
    listening.certificates(config)
    listening.credentials(config)
    server.rules(config)
    if config.ops_address:
        endpoints.check(config.ops_address)
    if config.workers == 1:
        _serve_alone(config)
    else:
        _serve_together(config)


def _serve_alone(config: Config) -> None:
    # Said before a database is started for nothing; the bind that counts is gRPC's.
    with _port(port.bound, Address.parse(config.address)):
        pass
    # The own mongod starts before gRPC and the event loop: never fork after those have.
    with database(config) as (uri, revive):
        uvloop.run(serve(config, uri, revive, partial(ready_file.write, config, uri)))


def _serve_together(config: Config) -> None:
    if sys.platform != "linux":
        raise CannotServe("--workers: only Linux spreads the connections of one port over several processes")
    wanted = Address.parse(config.address)
    with _port(port.claimed, wanted) as holder, database(config) as (uri, revive):
        address = Address(wanted.host, holder.getsockname()[1])
        asyncio.run(_run_workers(config, address, uri, revive))


async def _run_workers(config: Config, address: Address, uri: str, revive: Revive) -> None:
    grace = config.drain_delay + config.drain_timeout + config.store_timeout + _MARGIN_SECONDS
    with TemporaryDirectory(prefix="contactservice-") as folder:
        workers = Workers(_WORKER, _environment(config, address, uri, Path(folder)), config.workers, grace)
        together = Together(Path(folder), config.workers, workers.pids)
        ops = Endpoints(together.why_not_ready, together.metrics)
        ops_address = await ops.listen(config.ops_address) if config.ops_address else None
        try:
            await workers.run(partial(_all_serve, config, uri, address, ops_address), revive)
        finally:
            await ops.stop()


def _environment(config: Config, address: Address, uri: str, folder: Path) -> dict[str, str]:
    ops_address = endpoints.for_workers(folder) if config.ops_address else None
    changes = {"address": str(address), "mongodb_uri": SecretStr(uri), "ops_address": ops_address}
    return configuration.environment_of(config.model_copy(update=changes))


def _all_serve(config: Config, uri: str, address: Address, ops_address: str | None) -> None:
    facts = {"address": str(address), "ops_address": ops_address, "workers": config.workers}
    log.info("all workers serve", extra=facts)
    ready_file.write(config, uri, address, ops_address)


def _serve_as_worker(_: argparse.Namespace) -> None:
    try:
        config = configuration.load({})
        logs.configure(config.log_format, config.log_level, os.getpid())
        uri = config.mongodb_uri.get_secret_value() if config.mongodb_uri else ""
        uvloop.run(serve(config, uri, lambda: None, lambda *_: tell(SERVING), is_worker=True))
    except EXPECTED_OF_A_WORKER as error:
        # Told by the process that started this one, once for all workers.
        tell(str(error))
        sys.exit(1)


def _port(take: Callable[[str, int], socket.socket], address: Address) -> socket.socket:
    try:
        return take(address.host, address.port)
    except OSError as error:
        raise CannotServe(server.taken(address)) from error
