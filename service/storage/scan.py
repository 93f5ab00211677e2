"""Reading many contacts in the order of their ids, by key range: no cursor lives between two replies."""

import asyncio
from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sized
from typing import TypeVar

from service.storage.replies import Reply

# fetch(after, count): at most `count` documents behind the id `after`, as the BSON of a cursor.
Fetch = Callable[[str, int], Awaitable[bytes]]
Part = TypeVar("Part", bound=Sized)

# About 1 MiB a reply. Where large contacts follow small ones it is more, up to the 16 MiB of the database: of
# such a one so much is kept, so that one in work and one on its way stay below the 8 MiB of a stalled reader.
_REPLY_BYTES = 1024 * 1024
_KEPT_BYTES = 3 * 1024 * 1024
# A small first reply is soon there; the next ones are sized by what the documents weigh.
_FIRST, _GROWTH, _MOST = 100, 8, 4000


async def scan(
    fetch: Fetch,
    starts: Callable[[bytes], "array[int]"],
    opened: Callable[[Reply], Iterable[Part]],
    after: str,
    wanted: int,
) -> AsyncGenerator[Part, None]:
    """What `opened` makes of the replies behind the id `after`, until its parts hold `wanted` contacts.

    Only an empty reply is the end, since the database may cut a reply that grows too large. Others on the
    loop have their turn behind each part.
    """
    count = _FIRST
    ahead: asyncio.Future[bytes] | None = None
    try:
        while wanted > 0:
            reply = _kept(await (ahead or fetch(after, min(count, wanted))), starts)
            if not reply:
                return
            after = reply.last_id()
            count = min(max(1, _REPLY_BYTES * len(reply) // len(reply.cursor)), count * _GROWTH, _MOST)
            more = wanted - len(reply)
            ahead = asyncio.ensure_future(fetch(after, min(count, more))) if more > 0 else None
            for part in opened(reply):
                wanted -= len(part)
                yield part
                await asyncio.sleep(0)
    finally:
        if ahead:
            # One that has failed is looked at by that, too: asyncio does not report its error as forgotten.
            ahead.cancel()


def _kept(cursor: bytes, starts: Callable[[bytes], "array[int]"]) -> Reply:
    return Reply(cursor, starts(cursor)).within(_KEPT_BYTES)
