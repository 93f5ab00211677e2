"""Exports measured: rows and bytes a second for each format, the first message, memory, a stalled reader.

    .venv/bin/python -m bench.exports [CONTACTS]

Service, mongod and reader share the machine; the reader is a Python client that only counts. Five rounds over
all formats in turn, medians. Reported, never asserted.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import uvloop

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_service_pb2_grpc import ContactServiceStub
from service.storage.connection import connect
from service.storage.gate import Gate
from service.storage.store import Store
from tests.people import fill
from tests.process import ServiceProcess

FORMATS = ("JSONL", "JSON", "CSV", "CONTACTS")
ROUNDS = 5
STALL_SECONDS = 3.0


@dataclass(frozen=True)
class Run:
    """One export: seconds to the first record and to the end, records and bytes."""

    first: float
    seconds: float
    records: int
    size: int


class Reader:
    """A client of account demo that counts what it is sent."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._stub = ContactServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),)

    def call(self, name: str) -> grpc.aio.UnaryStreamCall:
        request = pb.ExportContactsRequest(format=f"EXPORT_FORMAT_{name}")
        return self._stub.ExportContacts(request, metadata=self._metadata)

    async def run(self, name: str) -> Run:
        started = time.perf_counter()
        first, size, records = 0.0, 0, 0
        async for message in self.call(name):
            if message.record_count and not first:
                first = time.perf_counter() - started
            size += len(message.data) or message.ByteSize()
            records += message.record_count
        return Run(first, time.perf_counter() - started, records, size)


def resident(pid: int, name: str = "VmRSS") -> float:
    """MiB of a process: now, or (VmHWM) at most so far."""
    [line] = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith(name)]
    return int(line.split()[1]) / 1024


async def measured(process: ServiceProcess, token: str, contacts: int) -> None:
    store = Store(connect(process.facts["mongodb_uri"]), process.facts["database"], Gate())
    await fill(store, "demo", contacts)
    await store.close()
    async with grpc.aio.insecure_channel(process.address) as channel:
        reader = Reader(channel, token)
        await reader.run("JSONL")
        idle = resident(process.process.pid)
        runs: dict[str, list[Run]] = {name: [] for name in FORMATS}
        for _ in range(ROUNDS):
            for name in FORMATS:
                runs[name].append(await reader.run(name))
        report(runs)
        peak = resident(process.process.pid, "VmHWM")
        print(f"memory of the service: {idle:.0f} MiB after one export, {peak:.0f} MiB at most after all")
    await stalled(process, token)


def report(runs: dict[str, list[Run]]) -> None:
    base = statistics.median(run.records / run.seconds for run in runs["JSONL"])
    for name, rounds in runs.items():
        rate = statistics.median(run.records / run.seconds for run in rounds)
        speed = statistics.median(run.size / run.seconds for run in rounds) / 2**20
        first = statistics.median(run.first for run in rounds) * 1000
        figures = f"{rate:8,.0f} contacts/s {speed:6.1f} MiB/s  {rate / base:4.2f} of JSONL"
        print(f"{name:9} {figures}  first record after {first:.0f} ms")


async def stalled(process: ServiceProcess, token: str) -> None:
    before = resident(process.process.pid)
    channels = [grpc.aio.insecure_channel(process.address) for _ in range(4)]
    calls = [Reader(channel, token).call("JSONL") for channel in channels]
    for call in calls:
        await call.read()
    await asyncio.sleep(STALL_SECONDS)
    each = (resident(process.process.pid) - before) / len(calls)
    print(f"a stalled reader: {each:.1f} MiB (of {len(calls)} at once, after {STALL_SECONDS:g} s)")
    for call, channel in zip(calls, channels, strict=True):
        call.cancel()
        await channel.close()


def main() -> None:
    contacts = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    with (
        tempfile.TemporaryDirectory() as folder,
        ServiceProcess(Path(folder), "--log-level", "warning") as process,
    ):
        token = (Path(folder) / "data" / "dev-token").read_text()
        print(f"{contacts:,} contacts")
        uvloop.run(measured(process, token, contacts))


if __name__ == "__main__":
    main()
