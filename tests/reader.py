"""A client of its own process that reads an export in a certain way, to be cancelled, killed or frozen.

    python -m tests.reader ADDRESS TOKEN ACCOUNT POINT [DEADLINE_SECONDS]

POINT says where it stays: `header` (nothing but the header is read), `midway` (goes on reading, slowly,
after the first message of data) or `blocked` (stops reading after that message). It prints `there` when it
is there, and cancels its call when it is sent a line.
"""

import asyncio
import sys

import grpc

from tests.client import Client


async def read(address: str, token: str, account: str, point: str, deadline: float | None) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        call = Client(channel, token, account).export(timeout=deadline)
        await call.read()
        if point != "header":
            await call.read()
        print("there", flush=True)
        slowly = asyncio.create_task(keep_reading(call)) if point == "midway" else None
        await asyncio.to_thread(sys.stdin.readline)
        call.cancel()
        await asyncio.gather(*filter(None, [slowly]), return_exceptions=True)
        # The process and its connection stay: only the call is gone.
        await asyncio.Event().wait()


async def keep_reading(call: grpc.aio.UnaryStreamCall) -> None:
    while await call.read() is not grpc.aio.EOF:
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    address, token, account, point, *rest = sys.argv[1:]
    asyncio.run(read(address, token, account, point, float(rest[0]) if rest else None))
