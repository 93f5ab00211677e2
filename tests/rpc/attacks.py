"""Attacks on a server by one that knows its address and has no credential. Each returns what came of it."""

import random
import re
from collections import Counter
from contextlib import ExitStack

from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from tests.rpc.frames import (
    CANCEL,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Frame,
    Wire,
    call_headers,
    field,
    frame,
    message,
)

MIB = 1024 * 1024
PATH = "/contactservice.v1.ContactService/GetContact"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, ABORTED, UNAUTHENTICATED = "0", "3", "8", "10", "16"
OPEN = "open"
REFUSED_STREAM, ENHANCE_YOUR_CALM = "reset 7", "reset 11"
# How a call without a credential may end: that it is told so, or that there are too many on its connection.
ANSWERS = (UNAUTHENTICATED, REFUSED_STREAM, ENHANCE_YOUR_CALM)
# Where a client may stop: before it says anything, within the preface, before its settings, before it
# acknowledges the server's.
GREETINGS = (b"", PREFACE[:10], PREFACE, PREFACE + frame(SETTINGS, 0, 0))


def declared_giants(address: str) -> list[str]:
    """Messages of a few bytes that declare nearly 2 GiB; their statuses."""
    statuses = []
    for _ in range(20):
        with Wire(address) as wire:
            wire.send(frame(HEADERS, END_HEADERS, 1, call_headers(PATH)))
            wire.send(frame(0, 0, 1, message(b"x" * 100, declared=2**31 - 1)))
            statuses.append(status(wire, 1))
    return statuses


def giant_frames(address: str) -> list[bool]:
    """Frames of HTTP/2 that declare 16 MiB, the most that it can; whether the connections were closed."""
    closed = []
    for kind in (0, HEADERS, PING):
        with Wire(address) as wire:
            wire.send(b"\xff\xff\xff" + bytes((kind, 0)) + (1).to_bytes(4) + b"x" * 1000)
            closed.append(wire.is_closed())
    return closed


def garbage(address: str) -> list[bool]:
    """Random bytes instead of a preface and behind one; whether the connections were closed."""
    dice = random.Random(7)  # noqa: S311 (the same garbage every time)
    closed = []
    for number in range(100):
        with Wire(address, greeted=False) as wire:
            wire.send((PREFACE if number % 2 else b"") + b"\xff\xff\xff" + dice.randbytes(5000))
            closed.append(wire.is_closed())
    return closed


def half_open(address: str, count: int) -> ExitStack:
    """Connections that say nothing, or half of what a client says first; open until the stack is closed."""
    stack = ExitStack()
    for number in range(count):
        wire = stack.enter_context(Wire(address, greeted=False))
        wire.send(GREETINGS[number % len(GREETINGS)])
    return stack


def resets(address: str, count: int) -> str:
    """Calls that are cancelled in the same moment; how a last one ends, behind all these."""
    block, cancel = call_headers(PATH), CANCEL.to_bytes(4)
    with Wire(address) as wire:
        for stream in range(1, 2 * count, 2):
            wire.send(frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, cancel))
        last = 2 * count + 1
        wire.send(frame(HEADERS, END_HEADERS, last, block))
        wire.send_message(last, message(b""))
        return status(wire, last)


def oversized_metadata(address: str) -> list[str]:
    """Calls with 17 KiB of metadata, in one block and in pieces; their statuses."""
    statuses = []
    for pieces in (1, 17):
        with Wire(address) as wire:
            many = b"".join(field(f"x-{number}", "y" * (17 * 1024 // pieces)) for number in range(pieces))
            send_headers(wire, 1, call_headers(PATH) + many)
            wire.send_message(1, message(b""))
            statuses.append(status(wire, 1))
    return statuses


def endless_headers(address: str) -> str:
    """A header block of 512 MiB; the status of its call."""
    with Wire(address) as wire:
        wire.send(frame(HEADERS, 0, 1, call_headers(PATH)))
        piece = field("x-more", "y" * 16000)
        for _ in range(512 * MIB // len(piece)):
            wire.send(frame(CONTINUATION, 0, 1, piece))
        wire.send(frame(CONTINUATION, END_HEADERS, 1, field("x-last", "y")))
        wire.send_message(1, message(b""))
        return status(wire, 1)


def pings(address: str) -> Frame | None:
    """Pings without end; the GOAWAY that they are answered with."""
    with Wire(address) as wire:
        for _ in range(1000):
            if not wire.send(frame(PING, 0, 0, b"12345678")):
                break
        return next((came for came in wire.frames() if came.kind == GOAWAY), None)


def falls_silent(address: str, said: bytes) -> bool:
    """A client that says this and no more; whether the server closes the connection by itself."""
    with Wire(address, greeted=False) as wire:
        wire.send(said)
        return wire.is_closed()


def stalled(wire: Wire, path: str, content: bytes, count: int = 1) -> Counter[str]:
    """Calls on a wire whose window is 0: how many stay open, their answer unread, and how others end."""
    for stream in range(1, 2 * count, 2):
        wire.send(frame(HEADERS, END_HEADERS, stream, call_headers(path)))
        wire.send_message(stream, message(content))
    ends: dict[int, str] = {}
    for came in wire.frames():
        if came.kind == HEADERS:
            ends[came.stream] = _grpc_status(came.payload) if came.flags & END_STREAM else OPEN
        if len(ends) == count:
            break
    return Counter(ends.values())


def hoard(address: str, count: int) -> Counter[str]:
    """Requests of nearly 1 MiB to what is open to all, and small ones for large answers, all left unread."""
    name, symbol = HealthCheckRequest(service="x" * 10**6), "contactservice.v1.ContactService"
    large = ServerReflectionRequest(file_containing_symbol="x" * 10**6)
    small = ServerReflectionRequest(file_containing_symbol=symbol)
    ends: Counter[str] = Counter()
    with ExitStack() as wires:
        for path, request in ((WATCH, name), (REFLECTION, large), (REFLECTION, small)):
            wire = wires.enter_context(Wire(address, window=0))
            ends += stalled(wire, path, request.SerializeToString(), count)
    return ends


def send_headers(wire: Wire, stream: int, block: bytes) -> None:
    parts = [block[start : start + 16384] for start in range(0, len(block), 16384)]
    for number, part in enumerate(parts):
        kind = CONTINUATION if number else HEADERS
        wire.send(frame(kind, END_HEADERS if number == len(parts) - 1 else 0, stream, part))


def status(wire: Wire, stream: int) -> str:
    """The grpc-status of the stream, or how else it ended."""
    for came in wire.frames():
        if came.stream == stream and came.kind == RST_STREAM:
            return f"reset {int.from_bytes(came.payload)}"
        if came.stream == stream and came.kind == HEADERS and came.flags & END_STREAM:
            return _grpc_status(came.payload)
    return "closed"


def _grpc_status(block: bytes) -> str:
    found = re.search(rb"grpc-status(?:\x01([0-9])|\x02([0-9]{2}))", block)
    return (found[1] or found[2]).decode() if found else "unreadable"
