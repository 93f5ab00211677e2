"""Reading many contacts in the order of their ids, by key range: no cursor lives between two replies."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from itertools import pairwise

import bson

from service.domain.contact import Contact
from service.storage.documents import OPTIONS, from_document

# fetch(after, count): at most `count` documents behind the id `after`, one behind the other as BSON.
Fetch = Callable[[str, int], Awaitable[bytes]]

# About 1 MiB a reply: one in work and one on its way stay far below the 8 MiB of a stalled reader.
_REPLY_BYTES = 1024 * 1024
# A small first reply is soon there; the next ones are sized by what the documents weigh.
_FIRST, _GROWTH, _MOST = 100, 8, 4000
# Decoding 50 documents takes well under a millisecond: nobody else on the loop waits longer.
_SLICE = 50


async def scan(
    fetch: Fetch, matches: Callable[[Contact], bool], after: str, wanted: int
) -> AsyncGenerator[list[Contact], None]:
    """Slices of the contacts behind the id `after` that match, `wanted` of them at most.

    Only an empty reply is the end, since the database may cut a reply that grows too large.
    """
    count = _FIRST
    ahead: asyncio.Future[bytes] | None = None
    try:
        while wanted > 0:
            reply = await (ahead or fetch(after, min(count, wanted)))
            if not reply:
                return
            starts = [*_starts(reply)]
            after = bson.decode(reply[starts[-1] :], OPTIONS)["_id"]
            count = min(max(1, _REPLY_BYTES * len(starts) // len(reply)), count * _GROWTH, _MOST)
            more = wanted - len(starts)
            ahead = asyncio.ensure_future(fetch(after, min(count, more))) if more > 0 else None
            for begin, end in _slices(starts, len(reply)):
                decoded = map(from_document, bson.decode_all(reply[begin:end], OPTIONS))
                contacts = [contact for contact in decoded if matches(contact)]
                wanted -= len(contacts)
                yield contacts
                await asyncio.sleep(0)
    finally:
        if ahead:
            ahead.cancel()


def _starts(reply: bytes) -> Iterator[int]:
    position = 0
    while position < len(reply):
        yield position
        position += int.from_bytes(reply[position : position + 4], "little")


def _slices(starts: list[int], end: int) -> Iterator[tuple[int, int]]:
    edges = [*starts[::_SLICE], end]
    yield from pairwise(edges)
