"""The ops port: /livez, /readyz and /metrics over HTTP, for probes and Prometheus. Nothing personal."""

from collections.abc import Awaitable, Callable
from os import getpid
from pathlib import Path

import orjson
from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from service.ops import port

# Why it is not ready, as a sentence; None when it is.
WhyNot = Callable[[], Awaitable[str | None]]
Page = Callable[[], Awaitable[Collector]]

# Before a folder: there a worker listens on a socket that has its pid for a name.
_FOLDER = "unix:"
_MOST_BYTES = 1024


class OpsPortUnusable(Exception):
    """It cannot be listened on; one sentence with the way out."""


class Endpoints:
    """Answers in the running loop, so that /livez says that the loop is alive."""

    def __init__(self, why_not_ready: WhyNot, metrics: Page) -> None:
        self._why_not_ready = why_not_ready
        self._metrics = metrics
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._page)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def listen(self, where: str) -> str:
        """Listens at host:port (0 picks one) or as a worker, and returns where; raises OpsPortUnusable."""
        await self._runner.setup()
        if where.startswith(_FOLDER):
            path = worker_socket(Path(where.removeprefix(_FOLDER)), getpid())
            await web.UnixSite(self._runner, path).start()
            return where
        host, number = parsed(where)
        try:
            await web.TCPSite(self._runner, host, number).start()
        except OSError as error:
            raise _taken(where) from error
        return f"{where.rpartition(':')[0] or host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _json(200, {"status": "alive"})

    async def _readyz(self, _: web.Request) -> web.Response:
        why_not = await self._why_not_ready()
        if why_not is None:
            return _json(200, {"status": "ready"})
        return _json(503, {"status": "not ready", "reason": why_not})

    async def _page(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        page = encode(await self._metrics())
        return web.Response(body=page, headers={"content-type": content_type})


def parsed(where: str) -> tuple[str, int]:
    """Host and port; raises OpsPortUnusable."""
    host, colon, number = where.rpartition(":")
    if not colon or not number.isdecimal() or int(number) > 65535:
        raise OpsPortUnusable(f"--ops-address {where}: expected host:port")
    return host.strip("[]") or "127.0.0.1", int(number)


def check(where: str) -> None:
    """Raises OpsPortUnusable for what is no free host:port, before anything is started for nothing."""
    host, number = parsed(where)
    try:
        port.bound(host, number).close()
    except OSError as error:
        raise _taken(where) from error


def for_workers(folder: Path) -> str:
    """What a worker is told to listen at."""
    return f"{_FOLDER}{folder}"


def worker_socket(folder: Path, pid: int) -> Path:
    return folder / str(pid)


def _taken(where: str) -> OpsPortUnusable:
    return OpsPortUnusable(
        f"{where} cannot be bound, another process may have it; choose another with --ops-address"
    )


def _json(status: int, facts: dict[str, str]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(facts) + b"\n", content_type="application/json")
