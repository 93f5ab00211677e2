"""A server from its start to its end: until a signal, or until it can no longer follow its database."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from service.config import Config
from service.rpc.health import Revive
from service.rpc.listening import Address
from service.rpc.server import Server

log = logging.getLogger(__name__)

# A drain that was cut short by a second signal: calls under way were lost.
CUT_SHORT = 1


async def serve(
    config: Config,
    mongodb_uri: str,
    revive: Revive,
    tell: Callable[[Address, str | None], object],
    *,
    is_worker: bool = False,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal ends the process at once.

    A worker shares its port, and drains to the end: who asks a whole group of processes to end asks it, and
    so does its supervisor, which kills it when there is no more time. `revive` is called at each look at the
    database, `tell` once, when the service serves, with its address and that of its ops port.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _signalled, stopping, is_worker)
    server = Server(config, mongodb_uri, revive, shares_port=is_worker)
    try:
        await server.start()
        ops_address = server.telemetry.ops_address
        facts = {"address": str(server.address), "database": config.database, "pid": os.getpid()}
        log.info("serving", extra=facts | {"ops_address": ops_address})
        tell(server.address, ops_address)
        ends = {asyncio.create_task(stopping.wait()), asyncio.create_task(server.fails())}
        for end in (await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED))[0]:
            await end
    finally:
        await server.stop()


def _signalled(stopping: asyncio.Event, is_worker: bool) -> None:
    if not stopping.is_set():
        stopping.set()
        log.info("draining")
    elif not is_worker:
        _end_at_once()


def _end_at_once() -> NoReturn:
    log.warning("stopped before calls under way had ended")
    logging.shutdown()
    # Nothing is waited for: not for calls, not for threads, not for a database that does not answer.
    os._exit(CUT_SHORT)
