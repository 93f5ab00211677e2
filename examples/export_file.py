"""Exports into a file, goes on where a broken run ended, and proves what it wrote.

    python examples/export_file.py people.jsonl
    python examples/export_file.py --format CSV --filter '{"trusted": true}' people.csv

While it works the data is in FILE.part, and FILE.token notes what was asked, how much of the data is good,
its SHA-256, and the token that goes on. Only a whole, proven export gets the name FILE. One call at a time.

What is proven: a stream that comes to its end has a summary with the SHA-256 of its own data and the bytes of
all streams together; both are compared. A stream that broke had no summary. Its data was hashed as it came,
and before anything is appended FILE.part is read again and has to have that hash.
"""

import argparse
import asyncio
import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from io import BufferedRandom
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf import json_format

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1 import export_pb2
from contactservice.v1.contact_service_pb2_grpc import ContactServiceStub

if TYPE_CHECKING:
    from contactservice.v1.contact_service_pb2_grpc import ContactServiceAsyncStub

# In a row, without anything new in the file.
ATTEMPTS = 5
LONGEST_PAUSE = 60.0
# Worth another attempt with the last token; anything else would fail again.
PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


class NotExported(Exception):
    """Why there is no FILE, and what the next call does."""


class NotUsable(Exception):
    """Why an export cannot go on behind FILE.part."""


@dataclass(frozen=True)
class Note:
    """Of a request: how many bytes of FILE.part are good, their SHA-256, and the token that goes on."""

    request: dict[str, Any]
    token: str
    size: int
    sha256: str


class Target:
    """The file that grows, and the note of how far it is good."""

    def __init__(self, path: Path, request: pb.ExportContactsRequest) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".token")
        self.request = request
        self.kept = 0
        self._asked = json_format.MessageToDict(request)
        self._digest = hashlib.sha256()

    def resume(self, file: BufferedRandom) -> None:
        """Takes up what is good of FILE.part; without it file and request are those of a beginning."""
        self.request.resume_token, self.kept, self._digest = "", 0, hashlib.sha256()
        try:
            self._take_up(file)
        except NotUsable as reason:
            print(f"beginning anew: {reason}", file=sys.stderr)
            self.note.unlink()
        # What lies behind the note may be half a message.
        file.truncate(self.kept)
        file.seek(self.kept)

    def keep(self, file: BufferedRandom, data: bytes, token: str) -> None:
        """Appends what goes up to this token."""
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        self._digest.update(data)
        self.kept += len(data)
        note = Note(self._asked, token, self.kept, self._digest.hexdigest())
        beside = self.note.with_name(self.note.name + ".new")
        beside.write_text(json.dumps(asdict(note)))
        beside.replace(self.note)

    def finish(self) -> None:
        # In this order: a part without a note is begun anew, a note without a part would be of no use.
        self.note.unlink(missing_ok=True)
        self.part.replace(self.path)

    def give_up(self, why: str) -> NoReturn:
        self.note.unlink(missing_ok=True)
        self.part.unlink()
        raise NotExported(f"{why}; what had come is deleted, the next call begins anew")

    def _take_up(self, file: BufferedRandom) -> None:
        if not self.note.exists():
            return
        try:
            note = Note(**json.loads(self.note.read_bytes()))
            file.truncate(min(note.size, file.seek(0, os.SEEK_END)))
        except (ValueError, TypeError) as error:
            raise NotUsable(f"{self.note} cannot be read") from error
        if note.request != self._asked:
            raise NotUsable(f"{self.note} is of another request")
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256")
        if (digest.hexdigest(), file.tell()) != (note.sha256, note.size):
            raise NotUsable(f"{self.part} is not what {self.note} says")
        self.request.resume_token, self.kept, self._digest = str(note.token), note.size, digest


async def stream(stub: "ContactServiceAsyncStub", token: str, target: Target) -> int:
    """One stream into the file, from the noted token on; returns the records of all streams so far."""
    metadata = (("authorization", f"Bearer {token}"),)
    target.part.touch()
    with target.part.open("r+b") as file:
        target.resume(file)
        digest = hashlib.sha256()
        async for message in stub.ExportContacts(target.request, metadata=metadata):
            if message.HasField("summary"):
                prove(message.summary, digest.hexdigest(), target)
                return int(message.summary.total_records)
            if message.resume_token:
                digest.update(message.data)
                target.keep(file, message.data, message.resume_token)
    raise NotExported("the stream ended without a summary; call again to go on")


def prove(summary: export_pb2.ExportSummary, sha256: str, target: Target) -> None:
    if summary.sha256 != sha256:
        target.give_up("the sha256 is not that of the data")
    if summary.total_bytes != target.kept:
        target.give_up(f"the file has {target.kept} bytes, the summary says {summary.total_bytes}")
    if not summary.complete:
        target.give_up("the summary does not call the export complete")


async def streams(stub: "ContactServiceAsyncStub", token: str, target: Target) -> int:
    """Stream after stream, until one has its summary; returns the records of all."""
    attempt = 0
    while True:
        before = target.kept
        try:
            return await stream(stub, token, target)
        except grpc.aio.AioRpcError as error:
            attempt = 1 if target.kept > before else attempt + 1
            seconds = pause(error, attempt)
            told = f"{error.code().name}: {error.details()}"
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT and target.request.resume_token:
                target.give_up(told)
            if error.code() not in PASSING:
                raise NotExported(told) from error
            if attempt == ATTEMPTS or seconds > LONGEST_PAUSE:
                raise NotExported(f"{told}; call again in {seconds:,.1f} s to go on") from error
        print(f"{told}; going on in {seconds:.1f} s", file=sys.stderr)
        await asyncio.sleep(seconds)


def pause(error: grpc.aio.AioRpcError, attempt: int) -> float:
    """Seconds: what the service says, or twice as long each time."""
    told = dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms")
    return int(told) / 1000 if told else 0.2 * 2**attempt


def awake(seconds: float) -> list[tuple[str, int]]:
    """A peer that has gone without a word is asked after so many seconds, and given up after as many more."""
    names = ("keepalive_time_ms", "keepalive_timeout_ms", "http2.ping_timeout_ms")
    options = [(f"grpc.{name}", round(seconds * 1000)) for name in names]
    # Else only two pings are sent by who sends no data.
    return [*options, ("grpc.http2.max_pings_without_data", 0)]


async def export(options: argparse.Namespace) -> str:
    request = pb.ExportContactsRequest(
        format=export_pb2.ExportFormat.Value(f"EXPORT_FORMAT_{options.format}")
    )
    json_format.Parse(options.filter, request.filter)
    target = Target(options.file, request)
    token = options.token_file.read_text().strip()
    async with grpc.aio.insecure_channel(options.address, awake(options.patience)) as channel:
        records = await streams(ContactServiceStub(channel), token, target)
    target.finish()
    return f"{records:,} contacts in {target.path}, complete and proven"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--address", default="127.0.0.1:50051")
    parser.add_argument("--token-file", type=Path, default=Path(".contactservice/data/dev-token"))
    parser.add_argument("--format", choices=["JSONL", "JSON", "CSV"], default="JSONL")
    parser.add_argument("--filter", default="{}", help="a ContactFilter as JSON")
    parser.add_argument("--patience", type=float, default=20, help="seconds of silence until a sign of life")
    try:
        print(asyncio.run(export(parser.parse_args())))
    except (NotExported, OSError) as error:
        sys.exit(f"not exported: {error}")
    except json_format.ParseError as error:
        sys.exit(f"not exported: --filter is no ContactFilter: {str(error).splitlines()[0]}")
    except KeyboardInterrupt:
        sys.exit("not exported: interrupted; call again to go on")


if __name__ == "__main__":
    main()
