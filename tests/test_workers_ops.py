"""The ops port of `serve --workers 2`: one answer for all."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from service.rpc.server import SERVICE
from tests.process import eventually, flags
from tests.scrape import Samples, fetch, parsed
from tests.test_workers import Workers, one_client_each

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]

GETS = (SERVICE.full_name, "GetContact", "unary")


class Watched(Workers):
    """Two workers on the session's database, with an ops port."""

    def __init__(self, folder: Path, mongodb_uri: str, tokens: Path) -> None:
        super().__init__(folder, *flags(mongodb_uri, tokens), "--ops-address", "127.0.0.1:0")

    def page(self) -> Samples:
        return parsed(fetch(self.facts["ops_address"], "/metrics").text)

    def gets(self) -> float:
        return self.page().of("grpc_server_started_total", *GETS)

    def is_ready(self) -> bool:
        return fetch(self.facts["ops_address"], "/readyz").status == 200


async def test_calls_through_both_workers_are_counted_once(
    tmp_path: Path, mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """The page is the sum over the workers, whichever answered; all of them make it ready."""
    with Watched(tmp_path, mongodb_uri, tokens) as process:
        assert await asyncio.to_thread(process.is_ready)
        async with one_client_each(process, any_token, account) as clients:
            assert len(clients) == 2
            contact = await next(iter(clients.values())).create()
            for times, client in enumerate(clients.values(), start=3):
                for _ in range(times):
                    await client.get(contact.id)
        page = await asyncio.to_thread(process.page)
        assert page.of("grpc_server_handled_total", *GETS, "OK") == 7
        assert page.of("contactservice_batch_keys_sum", "by_id") == 7
        assert page.of("contactservice_database_slots") == 128


async def test_a_worker_that_comes_back_takes_nothing_away(
    tmp_path: Path, mongodb_uri: str, tokens: Path, any_token: str, account: str
) -> None:
    """What was read of the dead one stays in the sums; while it is away, the service is not ready."""
    with Watched(tmp_path, mongodb_uri, tokens) as process:
        async with one_client_each(process, any_token, account) as clients:
            for client in clients.values():
                await client.failure("GetContact", id="x")
            assert await asyncio.to_thread(process.gets) == 2
            victim = next(iter(clients))
            os.kill(victim, signal.SIGKILL)
            await asyncio.to_thread(eventually, lambda: "is started again" in process.log)
            assert await asyncio.to_thread(process.gets) == 2
            await asyncio.to_thread(eventually, lambda: process.log.count('"serving"') == 3)
            await asyncio.to_thread(eventually, process.is_ready)
            assert await asyncio.to_thread(process.gets) == 2


def test_the_ops_port_of_the_workers_ends_with_them(
    tmp_path: Path,
    mongodb_uri: str,
    tokens: Path,
    any_token: str,  # noqa: ARG001
) -> None:
    """Their sockets are in a folder of the service's own, which is gone afterwards."""
    with Watched(tmp_path, mongodb_uri, tokens) as process:
        assert fetch(process.facts["ops_address"], "/livez").status == 200
        eventually(lambda: process.log.count('"serving"') == 2)
        folders = {
            line.split("unix:")[1].split('"')[0] for line in process.log.splitlines() if "unix:" in line
        }
        [folder] = map(Path, folders)
        assert folder.stat().st_mode & 0o777 == 0o700
    assert process.process.returncode == 0
    assert not folder.exists()
    with pytest.raises(OSError, match="refused"):
        fetch(process.facts["ops_address"], "/livez")
