"""A program that begins one deletion and dies, or stops, at one of its steps.

Arguments: URI, database, account, contact id, step, which time the step is reached, signal. Of a contact that
is gone already it takes over the open job, as a sweeper would.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta

from service.domain.deletion import Rules, Step
from service.storage.connection import connect
from service.storage.gate import Gate
from service.storage.store import Store
from tests.linked import LINKS

LEASE = timedelta(seconds=1)


async def main(
    uri: str, database: str, account: str, contact_id: str, step: str, time: int, number: int
) -> None:
    times = 0

    def die(reached: Step) -> None:
        nonlocal times
        times += reached == step
        if reached == step and times == time:
            os.kill(os.getpid(), number)

    rules = Rules(links=LINKS, batch_rows=3, lease=LEASE, reached=die)
    store = Store(connect(uri), database, Gate(), rules=rules)
    await store.prepare()
    await store.delete(account, contact_id, allow_missing=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:6], int(sys.argv[6]), signal.Signals[sys.argv[7]]))
