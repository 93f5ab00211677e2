"""A look at the database as an operator needs it: clock, version, topology, indexes, whether it takes writes.

It makes nothing that stays: what it writes, it writes to a collection of its own that is dropped at once.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC
from typing import Any

import pymongo
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from service.ops.findings import Finding, fail, ok, warn
from service.storage import indexes
from service.storage.connection import connect
from service.storage.explained import explained

_OLDEST = (6, 0)
_SKEW_WARNS, _SKEW_FAILS = 1.0, 30.0

Check = Callable[[], Awaitable[Finding]]


async def examine(uri: str, name: str, seconds: float) -> list[Finding]:
    """Every finding; the first one alone when the database does not answer. Raises MongodbUriInvalid."""
    client = connect(uri, seconds)
    try:
        return await _examined(client, client[name], seconds)
    finally:
        with pymongo.timeout(1):
            await client.close()


async def _examined(
    client: AsyncMongoClient[Any], database: AsyncDatabase[Any], seconds: float
) -> list[Finding]:
    began = time.time()
    try:
        with pymongo.timeout(seconds):
            hello = await client.admin.command("hello")
            built = (await client.admin.command("buildInfo"))["versionArray"]
    except PyMongoError as error:
        sentence, advice = explained(error)
        return [fail("database", f"{sentence}; nothing else of it was looked at", advice)]
    took = time.time() - began
    skew = began + took / 2 - hello["localTime"].replace(tzinfo=UTC).timestamp()
    checks: dict[str, Check] = {
        "indexes": lambda: _indexes(database, seconds),
        "write": lambda: _write(database, seconds),
    }
    return [
        ok("database", f"it answered in {took * 1000:.0f} ms"),
        clock(skew, took),
        version(built),
        topology(hello),
        *[await _guarded(check, run) for check, run in checks.items()],
    ]


def clock(skew: float, took: float) -> Finding:
    """`skew` is our time less the database's, in seconds, uncertain by half of what the question took."""
    apart = max(0.0, abs(skew) - took / 2)
    sentence = f"this machine and the database are {apart:.1f} s apart"
    advice = "keep both clocks by NTP: ids, and so created_at and the order of lists, follow this one"
    if apart >= _SKEW_FAILS:
        return fail("clock", sentence, advice)
    return warn("clock", sentence, advice) if apart >= _SKEW_WARNS else ok("clock", sentence)


def topology(hello: Mapping[str, Any]) -> Finding:
    """By the answer of the member that was asked."""
    if hello.get("msg") == "isdbgrid":
        return warn("topology", "it is a sharded cluster", "try it with your load: it is not tested by us")
    name, members = hello.get("setName"), [*hello.get("hosts", []), *hello.get("passives", [])]
    if not name:
        sentence = "it is a standalone mongod, where no write can be acknowledged by a majority"
        return fail("topology", sentence, "start it with --replSet, and initiate the set with rs.initiate()")
    if not hello.get("primary"):
        sentence = f"replica set {name} has no primary"
        return fail("topology", sentence, "bring a majority of its members back: rs.status() names them")
    sentence = f"replica set {name}, primary {hello['primary']}, members with data: {len(members)}"
    if len(members) < 3:
        return warn("topology", sentence, "have three for a service that outlives the loss of one")
    return ok("topology", sentence)


def version(found: list[int]) -> Finding:
    """By the versionArray of buildInfo."""
    sentence = f"MongoDB {'.'.join(map(str, found[:3]))}"
    if tuple(found[:2]) < _OLDEST:
        return fail("version", sentence, "upgrade to MongoDB 6.0 or newer")
    return ok("version", sentence)


async def _indexes(database: AsyncDatabase[Any], seconds: float) -> Finding:
    with pymongo.timeout(seconds):
        lacking = await indexes.missing(database)
        unmade = await indexes.on_empty(database, lacking)
    if obstacles := [each.obstacle for each in lacking if each.obstacle]:
        return fail("indexes", "; ".join(obstacles), "drop it, then run `contactservice migrate`")
    if not lacking:
        return ok("indexes", "all are there")
    sentence = f"missing: {_names(lacking)}"
    if len(unmade) == len(lacking):
        return ok("indexes", f"{sentence}; the service makes them when it starts, as nothing is stored yet")
    if built := [each for each in lacking if each.is_being_built]:
        return fail("indexes", f"being built: {_names(built)}", "wait for it with `contactservice migrate`")
    return fail("indexes", sentence, "run `contactservice migrate` with the same settings")


def _names(lacking: list[indexes.Missing]) -> str:
    return ", ".join(sorted(each.name for each in lacking))


async def _write(database: AsyncDatabase[Any], seconds: float) -> Finding:
    majority = WriteConcern(w="majority", j=True)
    probe = database.get_collection(f"doctor_{secrets.token_hex(6)}", write_concern=majority)
    began = time.perf_counter()
    try:
        with pymongo.timeout(seconds):
            await probe.insert_one({"_id": 1})
            read = await probe.find_one({"_id": 1})
            deleted = await probe.delete_one({"_id": 1})
    finally:
        # Also of one that was not acknowledged in time.
        with pymongo.timeout(seconds):
            await probe.drop()
    if read is None or deleted.deleted_count != 1:
        sentence = "what was written was not found again"
        return fail("write", sentence, "look at the log of the database")
    took = (time.perf_counter() - began) * 1000
    return ok("write", f"a document was written by a majority, read and deleted in {took:.0f} ms")


async def _guarded(check: str, run: Check) -> Finding:
    try:
        return await run()
    except PyMongoError as error:
        return fail(check, *explained(error))
