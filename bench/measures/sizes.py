"""What does not depend on load: the time to serve, and the room that a contact takes."""

import statistics
from typing import Any

from pymongo import MongoClient

from bench.figures import Figure
from bench.laboratory import OURS, Laboratory


def start(lab: Laboratory) -> list[Figure]:
    """From the command to the ready file, on a filled database."""
    times = []
    for _ in range(lab.pace.rounds):
        with lab.fresh_service() as running:
            times.append(running.started_in * 1000)
    return [Figure("time to serve after start", statistics.median(times), "ms")]


def storage(lab: Laboratory) -> list[Figure]:
    """Bytes a contact: its document, its part of the compressed files, its entries in each index."""
    with MongoClient[dict[str, Any]](lab.uri) as client:
        client.admin.command("fsync")
        stats = client[OURS].command("collStats", "contacts")
    count = stats["count"]
    return [
        Figure("document of a contact", stats["avgObjSize"], "bytes", note=f"{count:,} contacts"),
        Figure("storage of a contact", stats["storageSize"] / count, "bytes", note="compressed"),
        *(
            Figure(f"index {name} of a contact", size / count, "bytes")
            for name, size in stats["indexSizes"].items()
        ),
    ]
