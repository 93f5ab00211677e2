"""Exports: records a second in each format, the first message, memory; against driver and textbook."""

import base64
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import processes
from bench.figures import Figure, interleaved, ratio
from bench.laboratory import CALLERS, EXPORTED, OURS, Laboratory
from bench.load_generator import NotAnswered, Requests
from bench.processes import Running
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1 import export_pb2

# The first of several exports in a row pays for what cooled down meanwhile, and is not counted.
UNCOUNTED = 1
BOUNDS_AGAINST_JSONL = {"CSV": (0.6, 0.9), "JSON": (0.9, 1.0), "CONTACTS": (0.4, 0.6)}


@dataclass(frozen=True)
class Exported:
    """Exports of one account: records a second, and milliseconds to the first message with records."""

    per_second: float
    first: float
    mib_per_second: float


Contestant = Callable[[int], Exported]
Samples = Mapping[str, Sequence[Exported]]


def export(lab: Laboratory) -> list[Figure]:
    """Every format, the raw drain of the same contacts, the textbook's stream, pair by pair."""
    jsonl = _ours(lab, "JSONL")
    drained = _pair(lab, ("JSONL", jsonl), ("raw drain", lambda _: _drained(lab)))
    streamed = _pair(lab, ("JSONL", jsonl), ("textbook", lambda _: _textbook(lab)))
    firsts = [sample.first for sample in (*drained["JSONL"], *streamed["JSONL"])]
    return [
        _figure(drained, 0.4, 0.9),
        _figure(streamed, 15, None),
        *(
            _figure(_pair(lab, (name, _ours(lab, name)), ("JSONL", jsonl)), *bounds)
            for name, bounds in BOUNDS_AGAINST_JSONL.items()
        ),
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
    flags = ("-calls", str(lab.pace.exports + UNCOUNTED), "-streams")
    outcome = lab.load.run(server.address, lab.tokens[account], export_requests(lab, name), *flags)
    for stream in outcome["streams"]:
        last = pb.ExportContactsResponse.FromString(base64.b64decode(stream["last_message"] or ""))
        if not last.summary.complete or last.summary.records != contacts:
            raise NotAnswered(f"an export of {contacts} contacts ended with {last.summary}")
    return _rates(outcome["streams"][UNCOUNTED:], contacts)


def _ours(lab: Laboratory, name: str) -> Callable[[int], Exported]:
    return lambda _: exported(lab, lab.ours, EXPORTED, lab.pace.exported, name)


def _pair(lab: Laboratory, *contestants: tuple[str, Contestant]) -> Samples:
    # With six contestants in a round the first and last of it came out up to twice as slow as the others.
    return interleaved(dict(contestants), lab.pace.rounds)


def _figure(samples: Samples, must: float, aim: float | None) -> Figure:
    (name, ours), (peer, theirs) = samples.items()
    rates = [sample.per_second for sample in ours], [sample.per_second for sample in theirs]
    size = statistics.median(sample.mib_per_second for sample in ours)
    return Figure(
        f"export {name} / {peer}",
        ratio(*rates),
        "x",
        must,
        aim,
        ours=statistics.median(rates[0]),
        peer=statistics.median(rates[1]),
        peer_name=peer,
        note=f"{size:.0f} MiB/s",
    )


def _textbook(lab: Laboratory) -> Exported:
    count = lab.pace.textbook_exported
    request = pb.ExportContactsRequest(max_records=count)
    requests = lab.requests("export-textbook", "ExportContacts", iter([request]))
    flags = ("-calls", "1", "-streams")
    outcome = lab.load.run(lab.peer("textbook").address, lab.tokens[CALLERS], requests, *flags)
    if outcome["messages"] != count:
        raise NotAnswered(f"the textbook's export of {count} contacts sent {outcome['messages']}")
    return _rates(outcome["streams"], count)


def _drained(lab: Laboratory) -> Exported:
    said = processes.output("raw_drain", lab.uri, OURS, EXPORTED, str(lab.pace.exports + UNCOUNTED))
    times = json.loads(said)[UNCOUNTED:]
    seconds = statistics.median(each["seconds"] for each in times)
    return Exported(lab.pace.exported / seconds, 0, times[0]["bytes"] / seconds / 2**20)


def _rates(streams: Sequence[dict[str, Any]], contacts: int) -> Exported:
    seconds = statistics.median(stream["seconds"] for stream in streams)
    first = statistics.median(stream["second_ms"] for stream in streams)
    return Exported(contacts / seconds, first, streams[0]["bytes"] / seconds / 2**20)
