"""The main job: sends the sign-up log through EnsureContact, exports everybody and proves the outcome.

A client like any other: it knows the generated stubs, an address and a token.
"""

import asyncio
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format

from contactservice.v1 import contact_pb2, contact_service_pb2, contact_service_pb2_grpc, export_pb2

LOG = Path(__file__).with_name("signups.jsonl")
IN_FLIGHT = 64
RETURNING = 3
CALL_SECONDS = 30
EXPORT_SECONDS = 300

Say = Callable[[str, str], None]
Advance = Callable[[int], None]
Progress = Callable[[str, int], Advance]


class CallFailed(Exception):
    """The service answered with an error; the message says to what and which."""


@dataclass(frozen=True)
class Signup:
    """One event of the log: what is sent, and who it truly was, which is not sent."""

    person: str
    contact: contact_pb2.Contact


@dataclass
class Ledger:
    """What the service answered, against the truth."""

    created: int = 0
    found: int = 0
    ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    people: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def note(self, person: str, reply: contact_service_pb2.EnsureContactResponse) -> None:
        self.created += reply.created
        self.found += not reply.created
        self.ids[person].add(reply.contact.id)
        self.people[reply.contact.id].add(person)

    def __str__(self) -> str:
        return f"{self.created + self.found:,} calls: {self.created:,} created, {self.found:,} found"

    def mistakes(self) -> str:
        return f"{self.doubled()} doubled, {self.mixed_up()} mixed up"

    def doubled(self) -> int:
        """How many people have more than one contact."""
        return sum(len(ids) > 1 for ids in self.ids.values())

    def mixed_up(self) -> int:
        """How many contacts stand for more than one person."""
        return sum(len(people) > 1 for people in self.people.values())


@dataclass
class Export:
    """The data of one ExportContacts stream, and its last message."""

    data: bytes = b""
    summary: export_pb2.ExportSummary | None = None

    def __str__(self) -> str:
        return f"{len(self.records()):,} contacts, {len(self.data):,} bytes"

    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def is_proven(self) -> bool:
        """True when the summary came and its hash is that of the data."""
        return self.summary is not None and self.summary.sha256 == self.sha256()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.data.split(b"\n")[:-1]]


class Client:
    """EnsureContact and ExportContacts with a token."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self.stub: contact_service_pb2_grpc.ContactServiceAsyncStub
        self.stub = contact_service_pb2_grpc.ContactServiceStub(channel)
        self.metadata = (("authorization", f"Bearer {token}"),)

    async def ensure(self, signups: Iterable[Signup], ledger: Ledger, advance: Advance) -> None:
        """Ensures all, 64 at a time and in no order that anything could rely on."""
        waiting = iter(signups)

        async def worker() -> None:
            for signup in waiting:
                request = contact_service_pb2.EnsureContactRequest(contact=signup.contact)
                reply = await self.stub.EnsureContact(request, metadata=self.metadata, timeout=CALL_SECONDS)
                ledger.note(signup.person, reply)
                advance(ledger.created + ledger.found)

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))

    async def export(self) -> Export:
        """Everything the account has, as JSONL."""
        request = contact_service_pb2.ExportContactsRequest(format=export_pb2.EXPORT_FORMAT_JSONL)
        export, chunks = Export(), []
        async for part in self.stub.ExportContacts(request, metadata=self.metadata, timeout=EXPORT_SECONDS):
            chunks.append(part.data)
            if part.HasField("summary"):
                export.summary = part.summary
        export.data = b"".join(chunks)
        return export


def read_log() -> list[Signup]:
    with LOG.open(encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    return [
        Signup(event["person"], json_format.ParseDict(event["contact"], contact_pb2.Contact()))
        for event in events
    ]


def broken_promises(ledger: Ledger, again: Ledger, export: Export) -> list[str]:
    """Every check that failed, as a sentence; none: the service kept its word."""
    checks = [
        (ledger.doubled() == 0, f"{ledger.doubled()} people have more than one contact"),
        (ledger.mixed_up() == 0, f"{ledger.mixed_up()} contacts stand for more than one person"),
        (again.created == 0, f"{again.created} contacts were created for people who were known"),
        (again.ids == {person: ledger.ids[person] for person in again.ids}, "someone came back as another"),
        *export_checks(export, ledger),
    ]
    return [sentence for held, sentence in checks if not held]


def export_checks(export: Export, ledger: Ledger) -> list[tuple[bool, str]]:
    summary = export.summary
    if summary is None:
        return [(False, "the export ended without a summary")]
    exported = [record["id"] for record in export.records()]
    return [
        (summary.complete, "the summary does not call the export complete"),
        (export.is_proven(), "the sha256 is not that of the data"),
        (summary.bytes == len(export.data), "the summary counts other bytes"),
        (summary.records == len(exported), "the summary counts other records"),
        (len(set(exported)) == len(exported), "the export holds a contact twice"),
        (ledger.people.keys() <= set(exported), "the export lacks a person"),
    ]


async def run(address: str, token: str, say: Say, progress: Progress) -> tuple[Export, list[str]]:
    """The whole job: what was exported, and a sentence for every promise that the service broke."""
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            return await send_and_prove(Client(channel, token), say, progress)
        except grpc.aio.AioRpcError as error:
            raise CallFailed(f"A call failed with {error.code().name}: {error.details()}") from error


async def send_and_prove(client: Client, say: Say, progress: Progress) -> tuple[Export, list[str]]:
    signups = read_log()
    latest = {signup.person: signup for signup in signups}
    returning = list(latest.values())[::RETURNING]
    ledger, again = Ledger(), Ledger()
    say("sign-ups", f"{len(signups):,} events of {len(latest):,} people, from {LOG.parent.name}/{LOG.name}")
    started = time.perf_counter()
    await client.ensure(signups, ledger, progress("ensure", len(signups)))
    say("ensure", f"{ledger} in {time.perf_counter() - started:.1f} s")
    await client.ensure(returning, again, progress("again", len(returning)))
    say("again", f"{again} when every third person came back")
    say("people", f"{len(ledger.ids):,} people are {len(ledger.people):,} contacts: {ledger.mistakes()}")
    started = time.perf_counter()
    export = await client.export()
    say("export", f"{export} in {time.perf_counter() - started:.1f} s")
    say("sha256", f"{export.sha256()}, {'as the summary says' if export.is_proven() else 'NOT PROVEN'}")
    return export, broken_promises(ledger, again, export)
