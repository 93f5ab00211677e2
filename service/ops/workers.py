"""Workers: processes of one command that serve together; started, brought back when they die, drained as one.

What they serve is not known here. A worker says on its stdout, in one line, that it serves, or why it cannot.
"""

import asyncio
import logging
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence

from service.ops.child import ending_with_us

log = logging.getLogger(__name__)

SERVING = "serving"
_LOOK_SECONDS = 1.0
_AT_ONCE_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0


class WorkerCannotServe(Exception):
    """At the start a worker ended before it served; the sentence is its own, where it said one."""


class NotDrained(Exception):
    """Workers were killed, or failed, while they drained: calls under way were lost."""


def tell(line: str) -> None:
    """What a worker says to the process that started it: SERVING, or a sentence."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def pause_before(previous: float, lived: float) -> float:
    """Seconds before a worker is started again that lived so long: none, but growing when it dies at once."""
    if lived >= _AT_ONCE_SECONDS:
        return 0.0
    return min(max(2 * previous, _FIRST_PAUSE), _LONGEST_PAUSE)


class Workers:
    """`count` processes of `command`. `run` once, in the main thread: they are killed when it ends."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], count: int, grace: float
    ) -> None:
        self._command = ending_with_us([*command], signal.SIGKILL)
        self._environment = environment
        self._count = count
        self._grace = grace
        self._running: set[Process] = set()
        self._serving: set[Process] = set()
        self._served = 0
        self._stopping = asyncio.Event()

    def pids(self) -> list[int]:
        """Of those that run now."""
        return [worker.pid for worker in self._running]

    async def run(self, serving: Callable[[], object], look: Callable[[], object]) -> None:
        """Keeps them running until SIGTERM or SIGINT, then drains them; a second signal kills them.

        Workers get SIGTERM from here, and may have got it before: it must not mean more to them the second
        time. `serving` is called once, when all serve, `look` every second. Raises WorkerCannotServe and
        NotDrained, and what the two raise; no worker is left then.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)
        tasks = [asyncio.create_task(self._keep(serving)) for _ in range(self._count)]
        tasks += [asyncio.create_task(self._look(look)), asyncio.create_task(self._until_signalled())]
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lost = await self._drain()
        for task in ended:
            task.result()
        if lost:
            raise NotDrained(f"{lost} of {self._count} workers ended before they had drained")

    async def _until_signalled(self) -> None:
        await self._stopping.wait()

    def _signalled(self) -> None:
        if self._stopping.is_set():
            log.warning("killing the workers")
            self._send(signal.SIGKILL)
        else:
            self._stopping.set()
            log.info("draining")

    async def _look(self, look: Callable[[], object]) -> None:
        while True:
            look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _keep(self, serving: Callable[[], object]) -> None:
        clock = asyncio.get_running_loop().time
        pause = 0.0
        while True:
            started = clock()
            worker = await self._start()
            said = await _line(worker)
            if said == SERVING:
                self._serving.add(worker)
                self._served += 1
                if self._served == self._count:
                    serving()
            how = _ending(await worker.wait(), said)
            if self._stopping.is_set():
                # It was asked to end, and how it did is looked at with the others.
                return
            self._running.discard(worker)
            self._serving.discard(worker)
            if self._served < self._count:
                raise WorkerCannotServe(how)
            pause = pause_before(pause, clock() - started)
            facts = {"pid": worker.pid, "error": how, "seconds": pause}
            log.error("a worker ended and is started again", extra=facts)
            await asyncio.sleep(pause)

    async def _start(self) -> Process:
        worker = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=DEVNULL,
            stdout=PIPE,
            # Ctrl-C in a terminal reaches this process only, which then drains all.
            start_new_session=True,
        )
        self._running.add(worker)
        return worker

    async def _drain(self) -> int:
        self._send(signal.SIGTERM)
        ends = {worker: asyncio.create_task(worker.wait()) for worker in self._running}
        if ends and (await asyncio.wait(ends.values(), timeout=self._grace))[1]:
            self._send(signal.SIGKILL)
        return sum([self._lost_calls(worker, await end) for worker, end in ends.items()])

    def _lost_calls(self, worker: Process, code: int) -> bool:
        # A signal that comes before it listens for one ends it at once, and nothing is lost.
        return code != 0 and (worker in self._serving or code != -signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for worker in self._running:
            # One that has ended cannot be told.
            if worker.returncode is None:
                worker.send_signal(number)


async def _line(worker: Process) -> str:
    if worker.stdout is None:
        raise RuntimeError("a worker is started with a pipe")
    return (await worker.stdout.readline()).decode(errors="replace").strip()


def _ending(code: int, said: str) -> str:
    if said not in {"", SERVING}:
        return said
    how = f"signal {-code}" if code < 0 else f"code {code}"
    return f"a worker ended by {how}"
