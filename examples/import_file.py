"""Imports the lines of an export, goes on where a broken stream ended, and tells every row that was refused.

    python examples/import_file.py people.jsonl
    python examples/import_file.py --conflict MERGE --validate-only people.jsonl

Rows whose outcomes arrived are done. Interrupted? Call it again: with SKIP and MERGE rows may be sent again.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import grpc
from google.protobuf import json_format

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1 import errors_pb2
from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.contact_service_pb2_grpc import ContactServiceStub

if TYPE_CHECKING:
    from contactservice.v1.contact_service_pb2_grpc import ContactServiceAsyncStub

ATTEMPTS = 5
# What a message may have, with room for its options.
MOST_ROWS, MOST_BYTES = 500, 1_000_000
PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


class NotImported(Exception):
    """The stream failed for good."""


class Progress:
    """How many rows have outcomes, over all streams, and what became of them."""

    def __init__(self) -> None:
        self.rows = 0
        self.results: Counter[str] = Counter()

    def note(self, outcome: pb.ImportOutcome) -> None:
        if outcome.HasField("error"):
            reason = errors_pb2.ErrorReason.Name(outcome.error.reason).removeprefix("ERROR_REASON_")
            print(f"row {self.rows}: {reason}: {outcome.error.message}", file=sys.stderr)
        self.rows += 1
        self.results[pb.ImportResult.Name(outcome.result).removeprefix("IMPORT_RESULT_")] += 1


def batches(file: BinaryIO, done: int) -> Iterator[list[Contact]]:
    """The rows behind those that are done, in messages that are not too large."""
    batch: list[Contact] = []
    size = 0
    for number, line in enumerate(file):
        if number < done:
            continue
        row = json_format.Parse(line, Contact())
        row_size = row.ByteSize() + 8
        if len(batch) == MOST_ROWS or size + row_size > MOST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row_size
    if batch:
        yield batch


async def stream(
    stub: "ContactServiceAsyncStub", token: str, options: argparse.Namespace, progress: Progress
) -> None:
    """One stream, from the first row without an outcome on; each batch waits for the answer to the last."""
    call = stub.ImportContacts(metadata=(("authorization", f"Bearer {token}"),))
    conflict = pb.ImportConflict.Value(f"IMPORT_CONFLICT_{options.conflict}")
    how = pb.ImportOptions(conflict=conflict, validate_only=options.validate_only)
    await call.write(pb.ImportContactsRequest(options=how))
    with options.file.open("rb") as file:
        for batch in batches(file, progress.rows):
            await call.write(pb.ImportContactsRequest(contacts=batch))
            answer = await call.read()
            if not isinstance(answer, pb.ImportContactsResponse):
                raise NotImported("the stream ended before the batch was answered")
            for outcome in answer.outcomes:
                progress.note(outcome)
    await call.done_writing()
    await call.read()


async def load(options: argparse.Namespace) -> Progress:
    progress, failures = Progress(), 0
    token = options.token_file.read_text().strip()
    async with grpc.aio.insecure_channel(options.address) as channel:
        while True:
            before = progress.rows
            try:
                await stream(ContactServiceStub(channel), token, options, progress)
            except grpc.aio.AioRpcError as error:
                failures = 1 if progress.rows > before else failures + 1
                if failures == ATTEMPTS or error.code() not in PASSING:
                    raise NotImported(f"{error.code().name}: {error.details()}") from error
                await asyncio.sleep(0.2 * 2**failures)
            else:
                return progress


def main() -> int:
    parser = argparse.ArgumentParser(description="Imports JSON lines as an export writes them.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--address", default="127.0.0.1:50051")
    parser.add_argument("--token-file", type=Path, default=Path(".contactservice/data/dev-token"))
    parser.add_argument("--conflict", choices=("SKIP", "MERGE", "FAIL"), default="SKIP")
    parser.add_argument("--validate-only", action="store_true")
    options = parser.parse_args()
    try:
        progress = asyncio.run(load(options))
    except NotImported as error:
        print(f"not imported: {error}", file=sys.stderr)
        return 1
    told = ", ".join(f"{count} {result}" for result, count in sorted(progress.results.items()))
    print(f"{progress.rows} rows: {told or 'nothing'}")
    return 2 if progress.results["REJECTED"] else 0


if __name__ == "__main__":
    sys.exit(main())
