"""Nothing personal is told: texts that callers or contacts hold are looked for wherever something is told.

A service runs at its most talkative, with an ops port, a collector of traces and an audit file. All RPCs are
called, well and badly, with texts of which each is unique.
"""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymongo import AsyncMongoClient

from service.rpc import token_file
from service.rpc.auth import SCOPES
from service.rpc.server import SERVICE
from tests.canaries import Canaries
from tests.client import Client, request
from tests.collector import Collector, collecting
from tests.process import ServiceProcess, flags
from tests.rpc.refusal import ended, send
from tests.rpc.serving import NOBODY_LISTENS
from tests.scrape import get

pytestmark = pytest.mark.timeout(180)

METHODS = [method.name for method in SERVICE.methods]


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        yield collector


class Talk:
    """What clients were told, and who calls."""

    def __init__(self, channel: grpc.aio.Channel, canaries: Canaries, token: str, account: str) -> None:
        self.channel = channel
        self.client = Client(channel, token, account)
        self.client.metadata += [
            ("traceparent", f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"),
            ("tracestate", f"vendor={canaries['tracestate']}"),
            ("x-whatever", canaries["metadata"]),
            ("user-agent", canaries["agent"]),
        ]
        self.told: list[str | bytes] = []
        self.codes: set[str] = set()

    async def say(self, method: str, **fields: Any) -> None:
        """A call that may fail; what its failure tells is kept."""
        await self.say_raw(method, request(method, **fields).SerializeToString())

    async def say_raw(self, method: str, raw: bytes, metadata: Any = None) -> None:
        call = send(self.channel, method, raw, self.client.metadata if metadata is None else metadata)
        try:
            await ended(call)
        except grpc.aio.AioRpcError as error:
            self.codes.add(error.code().name)
            self.told.append(error.details() or "")
            for key, value in error.trailing_metadata() or ():
                self.told += [key, value]


@asynccontextmanager
async def talking(
    process: ServiceProcess, canaries: Canaries, token: str, account: str
) -> AsyncIterator[Talk]:
    async with grpc.aio.insecure_channel(process.address) as channel:
        yield Talk(channel, canaries, token, account)


def service(folder: Path, style: str, *flags: str) -> ServiceProcess:
    talkative = ("--log-level", "debug", "--log-format", style, "--store-timeout", "3")
    seen = ("--ops-address", "127.0.0.1:0", "--audit-file", str(folder / "audit"))
    return ServiceProcess(folder, *talkative, *seen, *flags)


async def good_calls(talk: Talk, canaries: Canaries) -> str:
    """Every RPC does its work."""
    client = talk.client
    contact = await client.create(**canaries.contact("seeded"))
    await client.ensure(**canaries.contact("seeded"))
    await client.ensure(**{name: canaries[f"guest{name}"] for name in ("name", "email", "nickname")})
    await client.create(request_id=canaries["request"], name=canaries["retried"])
    await client.create(request_id=canaries["request"], name=canaries["retried"])
    await client.get(contact.id)
    async with client.watch(filter=sought(canaries)) as watch, client.watch() as other:
        assert await watch.read()
        assert await other.read()
        await client.update({"id": contact.id, **canaries.contact("changed")})
        assert (await other.read()).change.contact.email == canaries["changedemail"]
    for method in ("ListContacts", "ExportContacts"):
        await talk.say(method, filter=sought(canaries))
    await talk.say("CountContacts", filter=sought(canaries))
    await talk.say("BatchGetContacts", ids=[contact.id])
    await talk.say("BatchEnsureContacts", contacts=[canaries.contact("batched")])
    for force in (False, True):
        purged = await client.create(**canaries.contact("purged"))
        terms = {"emails": [canaries["purgedemail"]], "fingerprints": [purged.fingerprint]}
        await client.call("PurgeContacts", filter=terms, force=force)
    for conflict in ("IMPORT_CONFLICT_MERGE", "IMPORT_CONFLICT_FAIL"):
        rows = [canaries.contact("loaded", trusted=True), canaries.contact("changed", trusted=True)]
        await talk.say("ImportContacts", options={"conflict": conflict}, contacts=rows)
    for method, field in (("DeleteContact", "id"), ("BatchDeleteContacts", "ids")):
        gone = await client.create(**canaries.contact("gone"))
        await client.call(method, **{field: gone.id if field == "id" else [gone.id]})
    return contact.id


def sought(canaries: Canaries) -> dict[str, Any]:
    return {
        "emails": [canaries["changedemail"], canaries["soughtemail"]],
        "phones": [canaries["soughttel"]],
        "fingerprints": [canaries["soughtfingerprint"]],
        "metadata": {canaries["soughtkey"]: canaries["soughtvalue"]},
        "metadata_exists": [canaries["soughtpath"]],
    }


async def bad_calls(talk: Talk, canaries: Canaries, contact_id: str) -> None:
    """Every RPC is refused, for what is wrong with the request, with the state, or with who asks."""
    long = {name: text * 3000 for name, text in canaries.contact("long").items() if isinstance(text, str)}
    for method in ("CreateContact", "EnsureContact", "UpdateContact"):
        for wrong in (
            long,
            {"fingerprint": f"d1:{canaries['forged']}"},
            {"fingerprint": f" {canaries['edge']}"},
            {"metadata": {canaries["hugekey"]: 1e20}},
            {"metadata": {canaries["keytoolong"] * 20: 1}},
        ):
            await talk.say(method, contact={"id": contact_id, **wrong})
    await talk.say("CreateContact", request_id=canaries["longrequest"] * 20)
    await talk.say("EnsureContact", contact={"description": canaries["noidentity"]})
    await talk.say("BatchEnsureContacts", contacts=[{"name": canaries["batchname"]}, long])
    rows = [long, {"id": canaries["rowid"]}, {"fingerprint": f"d1:{canaries['rowforged']}"}]
    await talk.say("ImportContacts", contacts=[*rows, canaries.contact("other", id=contact_id)])
    await talk.say("ImportContacts", contacts=[{"name": canaries["rows"]}] * 501)
    for method in ("GetContact", "DeleteContact"):
        await talk.say(method, id=canaries["noid"])
    for method in ("BatchGetContacts", "BatchDeleteContacts"):
        await talk.say(method, ids=[canaries["noid"]])
    await talk.say("UpdateContact", contact={"id": contact_id}, update_mask=canaries["mask"])
    await talk.say("UpdateContact", contact={"id": contact_id, "etag": canaries["etag"], "name": "x"})
    await talk.say("DeleteContact", id=contact_id, etag=canaries["oldetag"])
    for method in ("ListContacts", "ExportContacts", "CountContacts", "PurgeContacts", "WatchContacts"):
        await talk.say(method, filter={"metadata": {canaries["nullkey"]: None}})
        await talk.say(method, filter={"metadata_exists": [f"`{canaries['openpath']}"]})
        await talk.say(method, filter={"emails": [canaries["many"]] * 101})
        await talk.say(method, filter={"ids": [canaries["filterid"]]})
    await talk.say("ListContacts", page_token=canaries["page"])
    for method in ("ExportContacts", "WatchContacts"):
        await talk.say(method, resume_token=canaries["resume"])
    await taken(talk, canaries, contact_id)
    for method in METHODS:
        await talk.say_raw(method, b"\xff" + canaries["unparsable"].encode())
        await talk.say_raw(method, b"\x0a\x40" + canaries["cutshort"].encode())


async def taken(talk: Talk, canaries: Canaries, contact_id: str) -> None:
    """What the database refuses with a document in its sentence."""
    other = await talk.client.create(fingerprint=canaries["taken"])
    await talk.say("UpdateContact", contact={"id": contact_id, "fingerprint": canaries["taken"]})
    await talk.say("CreateContact", contact={"fingerprint": canaries["taken"]})
    assert (await talk.client.get(other.id)).fingerprint == canaries["taken"]


async def strangers(talk: Talk, canaries: Canaries, weak_token: str) -> None:
    """Callers who may not."""
    account = ("x-account-id", "someone")
    for method in METHODS:
        for metadata in (
            [],
            [("authorization", f"Bearer {canaries['wrongtoken']}")],
            [("authorization", canaries["scheme"])],
            [("authorization", f"Bearer {weak_token}"), account],
            [talk.client.metadata[0], ("x-account-id", f"!{canaries['account']}")],
        ):
            await talk.say_raw(method, b"", metadata)


async def broken_documents(talk: Talk, canaries: Canaries, uri: str) -> None:
    """What lies in the database is not what this service writes: the failure has a trace in the log."""
    async with AsyncMongoClient[dict[str, Any]](uri) as mongo:
        contacts = mongo["processes"]["contacts"]
        for wrong in (
            {"name": {"x": canaries["brokenname"]}},
            {"created_at": canaries["brokentime"]},
            {"metadata": canaries["brokenmetadata"]},
            {"metadata": {canaries["brokenkey"]: b"\xff" + canaries["brokenbytes"].encode()}},
            {"rev": canaries["brokenrev"]},
            {"email": 5, "fingerprint": canaries["brokenfingerprint"]},
        ):
            contact = await talk.client.create(name=canaries["whole"])
            await contacts.update_one({"_id": contact.id}, {"$set": wrong})
            await talk.say("GetContact", id=contact.id)
            await talk.say("UpdateContact", contact={"id": contact.id, "nickname": canaries["late"]})
            for method in ("ListContacts", "ExportContacts"):
                await talk.say(method, filter={"ids": [contact.id]})
            await talk.say("DeleteContact", id=contact.id)
            await contacts.delete_one({"_id": contact.id})


async def without_a_database(talk: Talk, canaries: Canaries) -> None:
    for method in ("CreateContact", "EnsureContact", "UpdateContact"):
        await talk.say(method, contact=canaries.contact("away", id="ct_" + "0" * 38))
    for method in ("ListContacts", "ExportContacts"):
        await talk.say(method, filter=sought(canaries))


@pytest.mark.parametrize("style", ["console", "json"])
async def test_nothing_personal_is_told(
    style: str,
    canaries: Canaries,
    collector: Collector,
    mongodb_uri: str,
    tokens: Path,
    account: str,
    tmp_path: Path,
) -> None:
    """Not in logs at debug level, audit lines, spans, metrics, nor in what a failed call is told."""
    token = canaries.add("token", token_file.add(tokens, "*", SCOPES))
    weak = canaries.add("weaktoken", token_file.add(tokens, "someone", ("import",)))
    with service(tmp_path, style, *flags(mongodb_uri, tokens)) as process:
        async with talking(process, canaries, token, account) as talk:
            contact_id = await good_calls(talk, canaries)
            await bad_calls(talk, canaries, contact_id)
            await strangers(talk, canaries, weak)
            await broken_documents(talk, canaries, mongodb_uri)
            page = (await get(process.facts["ops_address"], "/metrics")).text
    away = tmp_path / "away"
    with service(away, style, "--mongodb-uri", NOBODY_LISTENS, "--tokens", str(tokens)) as alone:
        async with talking(alone, canaries, token, account) as lost:
            await without_a_database(lost, canaries)
    told = {
        "log": process.log,
        "log without a database": alone.log,
        "audit": (tmp_path / "audit").read_text() + (away / "audit").read_text(),
        "metrics": page,
        "spans": b"".join(collector.raw),
        "answers": b"\n".join(map(as_bytes, (*talk.told, *lost.told))),
    }
    assert {where: canaries.singing(text) for where, text in told.items()} == {where: [] for where in told}
    assert_enough_was_told(told, talk, canaries)


def assert_enough_was_told(told: dict[str, str | bytes], talk: Talk, canaries: Canaries) -> None:
    """Silence proves nothing: each RPC is in log, metrics and spans, each way to fail was met."""
    for method in METHODS:
        for where in ("log", "metrics", "spans"):
            assert method.encode() in as_bytes(told[where]), where
    assert b"UpdateContact" in as_bytes(told["audit"])
    assert b"Traceback" in as_bytes(told["log"]) or b"File " in as_bytes(told["log"])
    assert b"STORE_UNAVAILABLE" in as_bytes(told["log without a database"])
    assert talk.codes >= {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "ABORTED",
        "INTERNAL",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
    }
    assert len(canaries.names) > 60


def as_bytes(told: str | bytes) -> bytes:
    return told if isinstance(told, bytes) else told.encode()


@pytest.mark.parametrize("told", ["x {} y", '{{"error": "{}"}}', "  File\nKeyError: '{}'"])
def test_a_canary_that_sings_is_heard(canaries: Canaries, told: str) -> None:
    """The search finds a text wherever it stands, in lines and in bytes, and names it."""
    leak = told.format(canaries.contact("seeded")["email"])
    assert canaries.singing(leak) == ["seededemail"]
    assert canaries.singing(b"\x0a\x10" + leak.encode() + b"\xff") == ["seededemail"]
