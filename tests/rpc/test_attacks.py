"""Attacks by one without a credential: what they cost, and that all others are served meanwhile."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import grpc
import pytest
import pytest_asyncio

from bench.processes import forget_peak, resident
from tests.client import Client
from tests.process import ServiceProcess
from tests.rpc import attacks
from tests.rpc.attacks import INVALID_ARGUMENT, OPEN, PATH, RESOURCE_EXHAUSTED
from tests.rpc.frames import ENHANCE_YOUR_CALM
from tests.rpc.pki import Authority
from tests.rpc.serving import serving

Came = TypeVar("Came")

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def service(
    mongodb_uri: str,
    tokens: Path,
    any_token: str,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServiceProcess]:
    """A process of its own: attacks are measured by its memory."""
    flags = ("--mongodb-uri", mongodb_uri, "--tokens", str(tokens), "--log-level", "warning")
    with ServiceProcess(tmp_path_factory.mktemp("attacked"), *flags) as running:
        yield running


@pytest_asyncio.fixture
async def guest(service: ServiceProcess, any_token: str, account: str) -> AsyncIterator[Client]:
    """A good client of the service that is attacked."""
    async with grpc.aio.insecure_channel(service.address) as channel:
        yield Client(channel, any_token, account)


async def attacked(guest: Client, attack: Callable[[], Came]) -> Came:
    """What came of the attack. The guest calls all the time, and each of its calls is answered."""
    contact = await guest.create()
    running = asyncio.create_task(asyncio.to_thread(attack))
    while not running.done():
        assert await guest.get(contact.id) == contact
    assert await guest.get(contact.id) == contact
    return await running


@contextlib.contextmanager
def growing_at_most(service: ServiceProcess, mib: float) -> Iterator[None]:
    pid = service.process.pid
    forget_peak(pid)
    before = resident(pid)
    yield
    assert resident(pid, "VmHWM") - before < mib


async def test_a_gzip_bomb_before_login_does_not_inflate(service: ServiceProcess, guest: Client) -> None:
    """Below the limit as it is sent, 64 MiB and more when inflated: refused, for a few MiB of memory."""
    sizes = (64 * MIB, 256 * MIB)
    assert len(gzip.compress(bytes(max(sizes)))) < MIB
    await guest.create()
    for size in sizes:
        content = bytes(size)
        with growing_at_most(service, mib=16):
            async with grpc.aio.insecure_channel(service.address) as channel:
                call = channel.unary_unary(PATH)(content, compression=grpc.Compression.Gzip, timeout=30)
                assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await guest.create()


async def test_a_message_that_declares_2_gib_is_refused_at_its_first_bytes(
    service: ServiceProcess, guest: Client
) -> None:
    """No room is made for what is only announced."""
    with growing_at_most(service, mib=16):
        statuses = await attacked(guest, partial(attacks.declared_giants, service.address))
    assert set(statuses) == {RESOURCE_EXHAUSTED}


async def test_a_frame_that_declares_more_than_it_may_ends_the_connection(
    service: ServiceProcess, guest: Client
) -> None:
    """HTTP/2 can declare 16 MiB; the frames that we take have 16 KiB."""
    with growing_at_most(service, mib=16):
        closed = await attacked(guest, partial(attacks.giant_frames, service.address))
    assert all(closed)


async def test_garbage_ends_the_connection(service: ServiceProcess, guest: Client) -> None:
    """Before the preface and behind it, whatever it is."""
    with growing_at_most(service, mib=16):
        closed = await attacked(guest, partial(attacks.garbage, service.address))
    assert len(closed) == 100
    assert all(closed)


async def test_metadata_above_16_kib_are_refused(service: ServiceProcess, guest: Client) -> None:
    """In one field or in many."""
    statuses = await attacked(guest, partial(attacks.oversized_metadata, service.address))
    assert statuses == [RESOURCE_EXHAUSTED, RESOURCE_EXHAUSTED]


async def test_metadata_without_end_are_not_kept(service: ServiceProcess, guest: Client) -> None:
    """Of 512 MiB in one call most is thrown away as it comes; what gRPC reads ahead is all that it costs."""
    with growing_at_most(service, mib=256):
        status = await attacked(guest, partial(attacks.endless_headers, service.address))
    assert status == RESOURCE_EXHAUSTED


async def test_a_ping_flood_is_answered_with_goodbye(service: ServiceProcess, guest: Client) -> None:
    """GOAWAY, too_many_pings."""
    goodbye = await attacked(guest, partial(attacks.pings, service.address))
    assert goodbye
    assert goodbye.payload[4:] == ENHANCE_YOUR_CALM.to_bytes(4) + b"too_many_pings"


async def test_calls_that_are_reset_at_once_leave_nothing(service: ServiceProcess, guest: Client) -> None:
    """50,000 on one connection, as fast as they are taken; a call behind them is answered or refused.

    The first ones lift the process to what a busy one needs. The next ones find that room.
    """
    for mib in (64, 20):
        with growing_at_most(service, mib):
            end = await attacked(guest, partial(attacks.resets, service.address, 50_000))
        assert end in attacks.ANSWERS


async def test_what_is_open_to_all_keeps_little(service: ServiceProcess, guest: Client) -> None:
    """Of 300 streams that read no answer, 200 of them with 1 MiB to be kept or echoed, 16 are answered.

    A large request is refused for its size, or for its number where others are still being read.
    """
    with growing_at_most(service, mib=64):
        ends = await attacked(guest, partial(attacks.hoard, service.address, 100))
    assert ends.keys() == {INVALID_ARGUMENT, OPEN, RESOURCE_EXHAUSTED}
    assert (ends.total(), ends[OPEN]) == (300, 16)
    assert 100 < ends[INVALID_ARGUMENT] <= 200


async def test_connections_that_say_nothing_disturb_nobody(service: ServiceProcess, guest: Client) -> None:
    """A thousand of them, also those that stop in the middle of the first words."""
    with growing_at_most(service, mib=64), attacks.half_open(service.address, 1000):
        contact = await guest.create()
        async with asyncio.timeout(30):
            for _ in range(100):
                assert await guest.get(contact.id) == contact
            async with grpc.aio.insecure_channel(service.address) as channel:
                newcomer = Client(channel, guest.metadata[0][1].removeprefix("Bearer "), guest.metadata[1][1])
                assert await newcomer.get(contact.id) == contact


async def test_a_connection_that_says_nothing_is_closed(service: ServiceProcess, guest: Client) -> None:
    """After ten seconds, not after two minutes: nothing, half of a preface, no settings, no word on ours."""
    greetings = attacks.GREETINGS
    with ThreadPoolExecutor(len(greetings)) as threads:
        silent = partial(attacks.falls_silent, service.address)
        waiting = asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(threads, silent, said) for said in greetings)
        )
        contact = await guest.create()
        while not waiting.done():
            assert await guest.get(contact.id) == contact
        assert all(await waiting)


async def test_a_tls_handshake_that_is_not_begun_is_closed(
    mongodb_uri: str, tokens: Path, any_token: str, account: str, tmp_path: Path
) -> None:
    """After ten seconds as well, while others come in."""
    authority = Authority()
    cert, key = authority.server().write(tmp_path, "server")
    async with serving(mongodb_uri, tokens=tokens, tls_cert=cert, tls_key=key) as (server, _):
        silent = asyncio.create_task(asyncio.to_thread(attacks.falls_silent, str(server.address), b""))
        credentials = grpc.ssl_channel_credentials(authority.certificate)
        async with grpc.aio.secure_channel(str(server.address), credentials) as channel:
            guest = Client(channel, any_token, account)
            while not silent.done():
                await guest.list()
        assert await silent
