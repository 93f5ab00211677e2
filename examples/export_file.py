"""Exports into a file, goes on where a broken run ended, and proves what it wrote.

    python examples/export_file.py people.jsonl
    python examples/export_file.py --format CSV --filter '{"trusted": true}' people.csv

While it works the data is in FILE.part, and FILE.token says how much of it is good and where to go on. Only a
whole, proven export gets the name FILE.
"""

import argparse
import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import grpc
from google.protobuf import json_format

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1 import export_pb2
from contactservice.v1.contact_service_pb2_grpc import ContactServiceStub

if TYPE_CHECKING:
    from contactservice.v1.contact_service_pb2_grpc import ContactServiceAsyncStub

ATTEMPTS = 5
# Worth another attempt with the last token; anything else would fail again.
PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


class NotProven(Exception):
    """The stream ended without a summary, or the summary does not fit the data."""


class Target:
    """The file that grows, and the note of how far it is good."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".token")

    def resume(self) -> tuple[str, int]:
        """The token to go on with and the bytes before it; nothing for a fresh start."""
        if not self.note.exists():
            return "", 0
        noted = json.loads(self.note.read_text())
        return noted["token"], noted["bytes"]

    def remember(self, token: str, size: int) -> None:
        beside = self.note.with_name(self.note.name + ".new")
        beside.write_text(json.dumps({"token": token, "bytes": size}))
        beside.replace(self.note)

    def finish(self) -> None:
        self.part.replace(self.path)
        self.note.unlink(missing_ok=True)


async def stream(
    stub: "ContactServiceAsyncStub", token: str, request: pb.ExportContactsRequest, target: Target
) -> int:
    """One stream into the file, from the noted token on; returns the records of all streams so far."""
    request.resume_token, size = target.resume()
    metadata = (("authorization", f"Bearer {token}"),)
    with target.part.open("r+b" if size else "wb") as file:
        # What lies behind the note may be half a message.
        file.truncate(size)
        file.seek(size)
        digest = hashlib.sha256()
        async for message in stub.ExportContacts(request, metadata=metadata):
            if message.HasField("summary"):
                prove(message.summary, digest.hexdigest(), file.tell())
                return int(message.summary.total_records)
            digest.update(message.data)
            keep(file, message, target)
    raise NotProven("the stream ended without a summary")


def keep(file: BinaryIO, message: pb.ExportContactsResponse, target: Target) -> None:
    if message.resume_token:
        file.write(message.data)
        file.flush()
        os.fsync(file.fileno())
        target.remember(message.resume_token, file.tell())


def prove(summary: export_pb2.ExportSummary, sha256: str, size: int) -> None:
    if summary.sha256 != sha256:
        raise NotProven("the sha256 is not that of the data")
    if summary.total_bytes != size:
        raise NotProven(f"the file has {size} bytes, the summary says {summary.total_bytes}")
    if not summary.complete:
        raise NotProven("the summary does not call the export complete")


async def export(options: argparse.Namespace) -> str:
    target = Target(options.file)
    request = pb.ExportContactsRequest(
        format=export_pb2.ExportFormat.Value(f"EXPORT_FORMAT_{options.format}")
    )
    json_format.Parse(options.filter, request.filter)
    token = options.token_file.read_text().strip()
    async with grpc.aio.insecure_channel(options.address) as channel:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                records = await stream(ContactServiceStub(channel), token, request, target)
            except grpc.aio.AioRpcError as error:
                if attempt == ATTEMPTS or error.code() not in PASSING:
                    raise NotProven(f"{error.code().name}: {error.details()}") from error
                await asyncio.sleep(0.2 * 2**attempt)
            else:
                target.finish()
                return f"{records:,} contacts in {target.path}, complete and proven"
    raise AssertionError("unreachable")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--address", default="127.0.0.1:50051")
    parser.add_argument("--token-file", type=Path, default=Path(".contactservice/data/dev-token"))
    parser.add_argument("--format", choices=["JSONL", "JSON", "CSV"], default="JSONL")
    parser.add_argument("--filter", default="{}", help="a ContactFilter as JSON")
    try:
        print(asyncio.run(export(parser.parse_args())))
    except NotProven as error:
        sys.exit(f"not exported: {error}; call again to go on")


if __name__ == "__main__":
    main()
