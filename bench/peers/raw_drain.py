"""The most that the driver allows: the raw replies of one account, in an export's order, read to the end.

    python -m bench.peers.raw_drain URI DATABASE ACCOUNT TIMES

Prints a JSON list: seconds, bytes, and CPU seconds of each time.
"""

import json
import sys
import time
from typing import Any

import uvloop
from pymongo import AsyncMongoClient
from pymongo.read_concern import ReadConcern

from service.domain import ids


async def drain(collection: Any, account: str) -> dict[str, float]:
    started, cpu = time.perf_counter(), time.process_time()
    size = 0
    conditions = {"account": account, "_id": {"$gte": ids.prefix(account), "$lt": ids.upper_bound(account)}}
    async for reply in collection.find_raw_batches(conditions, hint="_id_", sort=[("_id", 1)]):
        size += len(reply)
    return {
        "seconds": time.perf_counter() - started,
        "bytes": size,
        "cpu_seconds": time.process_time() - cpu,
    }


async def main(uri: str, database: str, account: str, times: str) -> None:
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(uri) as client:
        await client.admin.command("ping")
        collection: Any = client[database].get_collection("contacts", read_concern=ReadConcern("majority"))
        print(json.dumps([await drain(collection, account) for _ in range(int(times))]))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
