"""A good client's calls while somebody without a credential attacks, as tests/rpc/test_attacks.py does."""

import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from bench import processes
from bench.figures import Figure
from bench.laboratory import Laboratory
from tests.rpc import attacks as raw
from tests.rpc.frames import END_HEADERS, HEADERS, Wire, call_headers, frame, message

GETS_A_SECOND = 100
RESETS, PAUSE_SECONDS = 500, 0.1  # 50,000 in ten seconds
HALF_OPEN = 1000
P99_MS = 250

Attack = Callable[[str], object]


def attacks(lab: Laboratory) -> list[Figure]:
    """The p99 of GetContact at a fixed rate under each attack, and the memory that the attack takes."""
    figures = [_figure(lab, name, attack) for name, attack in ATTACKS.items()]
    with raw.half_open(lab.ours.address, HALF_OPEN):
        figures.append(_figure(lab, f"{HALF_OPEN} connections that say nothing", lambda _: None))
    return figures


def _figure(lab: Laboratory, name: str, attack: Attack) -> Figure:
    processes.forget_peak(lab.ours.pid)
    before = processes.resident(lab.ours.pid)
    requests = lab.get_requests()
    with _again_and_again(attack, lab.ours.address):
        sample = lab.sample(lab.ours, requests, "-rate", str(GETS_A_SECOND))
    growth = processes.resident(lab.ours.pid, "VmHWM") - before
    return Figure(f"Get p99 under {name}", sample.p99, "ms", P99_MS, None, True, note=f"+{growth:.0f} MiB")


@contextmanager
def _again_and_again(attack: Attack, address: str) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.wait(PAUSE_SECONDS):
            attack(address)

    attacker = threading.Thread(target=run)
    attacker.start()
    try:
        yield
    finally:
        over.set()
        attacker.join()


@cache
def _bomb() -> bytes:
    return message(gzip.compress(bytes(256 * raw.MIB)), compressed=True)


def _bombs(address: str) -> None:
    with Wire(address) as wire:
        wire.send(frame(HEADERS, END_HEADERS, 1, call_headers(raw.PATH, grpc_encoding="gzip")))
        wire.send_message(1, _bomb())


ATTACKS: Mapping[str, Attack] = {
    "gzip bombs": _bombs,
    "messages that declare 2 GiB": raw.declared_giants,
    "frames that declare 16 MiB": raw.giant_frames,
    "garbage": raw.garbage,
    "5,000 resets a second": lambda address: raw.resets(address, RESETS),
    "oversized metadata": raw.oversized_metadata,
    "metadata without end": raw.endless_headers,
    "ping floods": raw.pings,
}
