"""`contacts watch` in a pipe: what a program that reads its lines sees."""

import asyncio
import json
import signal
import subprocess
from typing import Any

from tests.clients.command import Cli


async def test_a_watch_shows_each_change_when_it_comes(cli: Cli) -> None:
    """A line each, at once; it ends by Ctrl-C with 130 and without a word, and its tokens lead on."""
    process = cli.started("watch", "--heartbeats", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = await line_of(process)
    assert first.keys() == {"heartbeat", "resumeToken"}
    [made] = (await cli("create", "--name", "Zoë")).objects
    line = await line_of(process)
    assert (line["change"]["kind"], line["change"]["contact"]) == ("CHANGE_KIND_CREATED", made["contact"])
    assert await interrupted(process) == (130, "")
    resumed = cli.started(
        *("watch", "--resume-token", first["resumeToken"]), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    again = await line_of(resumed)
    assert (again["change"], again["resumeToken"] != "") == (line["change"], True)
    assert await interrupted(resumed) == (130, "")


async def line_of(process: "subprocess.Popen[str]") -> Any:
    assert process.stdout
    return json.loads(await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 30))


async def interrupted(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """The exit code after Ctrl-C, and what was said on stderr."""
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.to_thread(process.communicate, timeout=30)
    return process.returncode, err
