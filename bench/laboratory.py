"""What the measures work in: one mongod, our service, the peers, people in both databases, load."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from bench import people, processes
from bench.load_generator import LoadGenerator, Requests, write_requests
from bench.processes import Running
from contactservice.v1 import contact_service_pb2 as pb
from service.storage.mongod import EmbeddedMongod

OURS, TEXTBOOK = "contactservice", "textbook"
CALLERS, EXPORTED = "callers", "exported"


@dataclass(frozen=True)
class Pace:
    """How long and how often: the full run, or one that ends in three minutes."""

    rounds: int
    seconds: float
    warmup: float
    callers: int
    exported: int
    exports: int
    textbook_exported: int


FULL = Pace(5, 4.0, 1.0, callers=20_000, exported=100_000, exports=3, textbook_exported=20_000)
QUICK = Pace(3, 1.5, 0.4, callers=10_000, exported=30_000, exports=3, textbook_exported=5_000)


@dataclass(frozen=True)
class Sample:
    """One run of calls: how many a second, milliseconds, and CPU seconds of each process in 1,000 calls."""

    per_second: float
    p50: float
    p99: float
    longest: float
    server_cpu: float
    mongod_cpu: float
    load_cpu: float

    @property
    def cost(self) -> str:
        return f"{self.server_cpu:.2f}/{self.mongod_cpu:.2f}/{self.load_cpu:.2f}"


@dataclass
class Laboratory:
    """Opened once for all measures; peers and files of requests come when they are first asked for."""

    pace: Pace
    folder: Path
    mongod: EmbeddedMongod
    load: LoadGenerator
    stack: ExitStack
    ours: Running
    token_file: Path
    tokens: dict[str, str]
    peers: dict[str, Running] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return self.mongod.uri

    def peer(self, name: str) -> Running:
        if name not in self.peers:
            module, *arguments = self._peers()[name]
            started = processes.peer(self.folder / name, module, *arguments)
            self.peers[name] = self.stack.enter_context(started)
        return self.peers[name]

    def requests(self, name: str, method: str, messages: Iterator[Message]) -> Requests:
        """A file of requests that no other has the name of."""
        return write_requests(self.folder / f"{name}.requests", method, messages)

    def get_requests(self, account: str = CALLERS, count: int = 0) -> Requests:
        """Each of the account's contacts once, in an order that is not theirs."""
        count = count or self.pace.callers
        # 7919 is prime: its multiples visit every number below a count that it does not divide.
        numbers = (number * 7919 % count for number in range(count))
        asked = (pb.GetContactRequest(id=people.contact_id(account, number)) for number in numbers)
        return self.requests(f"get-{account}-{count}", "GetContact", asked)

    def sample(
        self,
        server: Running,
        requests: Requests,
        *flags: str,
        offset: int = 0,
        account: str = CALLERS,
        times: int = 1,
    ) -> Sample:
        """Calls for so many times the pace's seconds, with what they cost."""
        before = processes.cpu_seconds(server.pid), processes.cpu_seconds(self.mongod.pid)
        length = ("-warmup", str(self.pace.warmup), "-seconds", str(times * self.pace.seconds))
        start = ("-offset", str(offset % requests.count))
        outcome = self.load.run(server.address, self.tokens[account], requests, *length, *start, *flags)
        after = processes.cpu_seconds(server.pid), processes.cpu_seconds(self.mongod.pid)
        server_cpu, mongod_cpu = (
            1000 * (end - begin) / outcome["total_calls"] for begin, end in zip(before, after, strict=True)
        )
        latency = outcome["latency_ms"]
        return Sample(
            per_second=outcome["per_second"],
            p50=latency["p50"],
            p99=latency["p99"],
            longest=latency["max"],
            server_cpu=server_cpu,
            mongod_cpu=mongod_cpu,
            load_cpu=1000 * outcome["cpu_seconds"] / max(1, outcome["calls"]),
        )

    def add_account(self, account: str, count: int) -> None:
        """People of an account, and a token for it that works at once with a service started from now on."""
        people.fill(self.uri, OURS, account, count)
        if account not in self.tokens:
            self.tokens[account] = processes.token(self.token_file, account)

    @contextmanager
    def fresh_service(self, *settings: str) -> Iterator[Running]:
        """Another process of ours on the same database, with these flags."""
        with processes.service(self.folder / "fresh", self.uri, self.token_file, *settings) as running:
            yield running

    def _peers(self) -> dict[str, tuple[str, ...]]:
        place = (self.uri, TEXTBOOK, self.tokens[CALLERS], CALLERS)
        return {
            "echo": ("echo",),
            "textbook": ("textbook", "pymongo", *place),
            "motor": ("textbook", "motor", *place),
        }


@contextmanager
def opened(pace: Pace, folder: Path, binary: Path) -> Iterator[Laboratory]:
    """Starts all, fills both databases, ends all."""
    mongod = EmbeddedMongod(folder / "mongod")
    mongod.start()
    try:
        with ExitStack() as stack:
            tokens_file = folder / "tokens.jsonl"
            tokens = {account: processes.token(tokens_file, account) for account in (CALLERS, EXPORTED)}
            # The service makes the indexes while its collection is empty.
            running = stack.enter_context(processes.service(folder / "ours", mongod.uri, tokens_file))
            people.fill(mongod.uri, OURS, CALLERS, pace.callers)
            people.copy(mongod.uri, OURS, TEXTBOOK, CALLERS)
            people.fill(mongod.uri, OURS, EXPORTED, pace.exported)
            yield Laboratory(pace, folder, mongod, LoadGenerator(binary), stack, running, tokens_file, tokens)
    finally:
        mongod.stop()


@cache
def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    return {"cpu": models[0] if models else "unknown", "cores": len(models), "memory_mib": memory}
