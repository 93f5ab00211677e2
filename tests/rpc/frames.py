"""HTTP/2 as no client library speaks it: frames put together by hand on a socket, well-formed or not."""

import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
WINDOW_UPDATE, CONTINUATION = 0x8, 0x9
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 0x1, 0x4
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
CANCEL = 8
ENHANCE_YOUR_CALM = 11
PATIENCE_SECONDS = 30


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def settings(of: Mapping[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *each) for each in of.items()))


def field(name: str, value: str) -> bytes:
    """A header field, literal and never indexed (RFC 7541, section 6.2.3)."""
    return b"\x10" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    size, rest = bytearray((127,)), len(raw) - 127
    while rest > 127:
        size.append(rest & 127 | 128)
        rest >>= 7
    size.append(rest)
    return bytes(size) + raw


def call_headers(path: str, **metadata: str) -> bytes:
    """The header block of a gRPC call."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "attacker",
        "content-type": "application/grpc",
        "te": "trailers",
        **{name.replace("_", "-"): value for name, value in metadata.items()},
    }
    return b"".join(field(name, value) for name, value in fields.items())


def message(payload: bytes, *, compressed: bool = False, declared: int | None = None) -> bytes:
    """A gRPC message behind its prefix, which may declare another length than it has."""
    size = len(payload) if declared is None else declared
    return struct.pack(">BI", compressed, size) + payload


@dataclass(frozen=True)
class Frame:
    """What the server sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Wire:
    """A connection to the server at this address, spoken to in bytes.

    With a `window` it takes so much of an answer, and has header fields named in full.
    """

    def __init__(self, address: str, *, greeted: bool = True, window: int | None = None) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)
        self._received = b""
        self._kept: list[Frame] = []
        self._window = 65535
        self.settings = {INITIAL_WINDOW_SIZE: 65535}
        if greeted:
            own = {} if window is None else {HEADER_TABLE_SIZE: 0, INITIAL_WINDOW_SIZE: window}
            self.send(PREFACE + settings(own))
            # The server speaks first of its limits. They hold once they are acknowledged.
            self._frame()
            self.send(frame(SETTINGS, ACK, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, raw: bytes) -> bool:
        """False when the server has closed the connection."""
        try:
            self._socket.sendall(raw)
        except OSError:
            return False
        return True

    def send_message(self, stream: int, content: bytes) -> None:
        """As DATA frames that end the stream, as far as the server takes them, which may end it earlier."""
        window = self.settings[INITIAL_WINDOW_SIZE]
        while content:
            size = min(16384, len(content), window, self._window)
            if size:
                last = END_STREAM if size == len(content) else 0
                self.send(frame(DATA, last, stream, content[:size]))
                content, window, self._window = content[size:], window - size, self._window - size
                continue
            came = self._frame()
            if came and came.kind in {HEADERS, RST_STREAM}:
                self._kept.append(came)
            if came is None or (self._kept and self._kept[-1].stream == stream):
                return
            if came.kind == WINDOW_UPDATE and came.stream == stream:
                window += int.from_bytes(came.payload)

    def frames(self) -> Iterator[Frame]:
        """What the server sends until it closes the connection."""
        while came := self._kept.pop(0) if self._kept else self._frame():
            yield came

    def _frame(self) -> Frame | None:
        header = self._take(9)
        if not header:
            return None
        payload = self._take(int.from_bytes(header[:3]))
        came = Frame(header[3], header[4], int.from_bytes(header[5:]), payload)
        if came.kind == WINDOW_UPDATE and not came.stream:
            self._window += int.from_bytes(payload)
        if came.kind == SETTINGS:
            self.settings |= dict(struct.iter_unpack(">HI", payload))
        return came

    def is_closed(self) -> bool:
        """Waits for the end of the connection, whatever else the server sends."""
        return all(True for _ in self.frames())

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            try:
                chunk = self._socket.recv(65536)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return b""
            self._received += chunk
        taken, self._received = self._received[:size], self._received[size:]
        return taken
