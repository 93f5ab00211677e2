"""Exports: records a second in each format, the first message, memory; against driver and textbook."""

import base64
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import processes
from bench.figures import Figure, interleaved, ratio
from bench.laboratory import CALLERS, EXPORTED, OURS, Laboratory
from bench.load_generator import NotAnswered, Requests
from bench.processes import Running
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1 import export_pb2

BOUNDS_AGAINST_JSONL = {"CSV": (0.6, 0.9), "JSON": (0.9, 1.0), "CONTACTS": (0.4, 0.6)}


@dataclass(frozen=True)
class Exported:
    """Exports of one account: records a second, and milliseconds to the first message with records."""

    per_second: float
    first: float
    mib_per_second: float


def export(lab: Laboratory) -> list[Figure]:
    """Every format, the raw drain of the same contacts, the textbook's stream."""
    contestants: dict[str, Callable[[int], Exported]] = {
        name: _ours(lab, name) for name in ("JSONL", *BOUNDS_AGAINST_JSONL)
    }
    contestants["raw drain"] = lambda _: _drained(lab)
    contestants["textbook"] = lambda _: _textbook(lab)
    samples = interleaved(contestants, lab.pace.rounds)
    rates = {name: [sample.per_second for sample in taken] for name, taken in samples.items()}

    def against(name: str, peer: str, must: float, aim: float | None) -> Figure:
        mine, theirs = statistics.median(rates[name]), statistics.median(rates[peer])
        size = statistics.median(sample.mib_per_second for sample in samples[name])
        found = ratio(rates[name], rates[peer])
        note = f"{size:.0f} MiB/s"
        return Figure(f"export {name} / {peer}", found, "x", must, aim, False, mine, theirs, peer, note)

    firsts = [sample.first for sample in samples["JSONL"]]
    return [
        against("JSONL", "raw drain", 0.4, 0.9),
        against("JSONL", "textbook", 15, None),
        *(against(name, "JSONL", *bounds) for name, bounds in BOUNDS_AGAINST_JSONL.items()),
        Figure("first records of an export", statistics.median(firsts), "ms", 50, 20, at_most=True),
    ]


def memory(lab: Laboratory) -> list[Figure]:
    """How far an export lifts the peak of a process that has answered calls, but exported nothing yet."""
    return [peak(lab, EXPORTED, lab.pace.exported)]


def peak(lab: Laboratory, account: str, contacts: int) -> Figure:
    """The same for one account; a process of its own, since the first export leaves its buffers."""
    with lab.fresh_service() as running:
        lab.load.run(running.address, lab.tokens[CALLERS], lab.get_requests(), "-calls", "500")
        processes.forget_peak(running.pid)
        idle = processes.resident(running.pid)
        exported(lab, running, account, contacts, "JSONL")
        lifted = processes.resident(running.pid, "VmHWM") - idle
    note = f"idle {idle:.0f} MiB"
    name = f"export memory over idle, {contacts:,} contacts"
    return Figure(name, lifted, "MiB", 32, 16, at_most=True, note=note)


def export_requests(lab: Laboratory, name: str = "JSONL") -> Requests:
    chosen = export_pb2.ExportFormat.Value(f"EXPORT_FORMAT_{name}")
    request = pb.ExportContactsRequest(format=chosen)
    return lab.requests(f"export-{name}", "ExportContacts", iter([request]))


def exported(lab: Laboratory, server: Running, account: str, contacts: int, name: str) -> Exported:
    """Exports one after the other, each whole as its summary says; raises NotAnswered."""
    flags = ("-calls", str(lab.pace.exports), "-streams")
    outcome = lab.load.run(server.address, lab.tokens[account], export_requests(lab, name), *flags)
    for stream in outcome["streams"]:
        last = pb.ExportContactsResponse.FromString(base64.b64decode(stream["last_message"] or ""))
        if not last.summary.complete or last.summary.records != contacts:
            raise NotAnswered(f"an export of {contacts} contacts ended with {last.summary}")
    return _rates(outcome, contacts)


def _ours(lab: Laboratory, name: str) -> Callable[[int], Exported]:
    return lambda _: exported(lab, lab.ours, EXPORTED, lab.pace.exported, name)


def _textbook(lab: Laboratory) -> Exported:
    count = lab.pace.textbook_exported
    request = pb.ExportContactsRequest(max_records=count)
    requests = lab.requests("export-textbook", "ExportContacts", iter([request]))
    flags = ("-calls", "1", "-streams")
    outcome = lab.load.run(lab.peer("textbook").address, lab.tokens[CALLERS], requests, *flags)
    if outcome["messages"] != count:
        raise NotAnswered(f"the textbook's export of {count} contacts sent {outcome['messages']}")
    return _rates(outcome, count)


def _drained(lab: Laboratory) -> Exported:
    said = processes.output("raw_drain", lab.uri, OURS, EXPORTED, str(lab.pace.exports))
    times = json.loads(said)
    seconds = statistics.median(each["seconds"] for each in times)
    return Exported(lab.pace.exported / seconds, 0, times[0]["bytes"] / seconds / 2**20)


def _rates(outcome: dict[str, Any], contacts: int) -> Exported:
    seconds = statistics.median(stream["seconds"] for stream in outcome["streams"])
    first = statistics.median(stream["second_ms"] for stream in outcome["streams"])
    return Exported(contacts / seconds, first, outcome["streams"][0]["bytes"] / seconds / 2**20)
