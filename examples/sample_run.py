"""What `./dev run` does: starts the service, sends it the sign-up log, proves the outcome, serves on."""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from serving import Ready, Server, ServerEnded

ROOT = Path(__file__).resolve().parent.parent
REFRESH_SECONDS = 0.1
BANNER = """
ContactService is up. Ctrl-C stops it; the data stays.

  service    {address}{ops}
  database   {mongodb_uri}, database {database}
  data       {data_dir}: token, log, and the database unless --mongodb-uri names your own
  token      {token} (account demo)
  log        {log}

  try        grpcurl -plaintext -H "authorization: Bearer {token}" \\
               -d '{{"contact": {{"name": "Ann", "email": "ann@example.com"}}}}' \\
               {address} contactservice.v1.ContactService/EnsureContact
  read       README.md for more calls; the reference is in protos/contactservice/v1, or:
             grpcurl -plaintext {address} describe contactservice.v1.ContactService
"""


class Report:
    """One line for each finished step; on a terminal also one that counts while a step runs."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()

    def say(self, label: str, text: str) -> None:
        print(f"{self.blank()}{label:<10} {text}", flush=True)

    def progress(self, label: str, total: int) -> Callable[[int], None]:
        shown = 0.0

        def advance(done: int) -> None:
            nonlocal shown
            if self.live and time.monotonic() - shown > REFRESH_SECONDS:
                shown = time.monotonic()
                print(f"{self.blank()}{label:<10} {done:,} of {total:,}", end="", flush=True)

        return advance

    def blank(self) -> str:
        return "\r\x1b[K" if self.live else ""


def main() -> int:
    """Returns the exit code: 0 when the job went well, the service's own when that failed."""
    arguments, flags = parse()
    # Both end the service the way Ctrl-C does.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    server = Server(flags, arguments.data_dir, arguments.ready_file or arguments.data_dir / "ready.json")
    try:
        return work(server, arguments)
    except ServerEnded as ended:
        print(ended, file=sys.stderr)
        # As a shell has it; an end that nobody asked for is never 0.
        return 128 - ended.code if ended.code < 0 else ended.code or 1
    except KeyboardInterrupt:
        return 130
    finally:
        server.stop()


def parse() -> tuple[argparse.Namespace, list[str]]:
    default = Path(os.environ.get("CONTACTSERVICE_DATA_DIR", ROOT / ".contactservice" / "data"))
    parser = argparse.ArgumentParser(
        prog="./dev run",
        description="Start everything, run the sample job, serve until Ctrl-C.",
        epilog="Every other flag goes to `contactservice serve`, such as --address and --mongodb-uri.",
        allow_abbrev=False,
    )
    parser.add_argument("--once", action="store_true", help="stop after the job")
    parser.add_argument(
        "--export", type=Path, metavar="FILE", help="keep the export (default: it is only checked)"
    )
    parser.add_argument("--data-dir", type=Path, default=default, metavar="DIR", help="default: %(default)s")
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="written when the service serves")
    return parser.parse_known_args()


def work(server: Server, arguments: argparse.Namespace) -> int:
    report = Report()
    started = time.perf_counter()
    # Takes a third of a second, in which the service starts.
    import signup_job  # noqa: PLC0415

    ready = server.wait_until_ready()
    report.say("service", f"{ready.address}, up in {time.perf_counter() - started:.1f} s")
    token = read_token(arguments.data_dir)
    try:
        export, broken = asyncio.run(signup_job.run(ready.address, token, report.say, report.progress))
    except signup_job.CallFailed as failure:
        raise ServerEnded(1, f"{failure}\nThe log of the service: {shown(server.log)}") from None
    for promise in broken:
        report.say("FAILED", promise)
    if arguments.export:
        arguments.export.write_bytes(export.data)
        report.say("written", str(arguments.export))
    if broken or arguments.once:
        return 1 if broken else 0
    return serve(server, ready, token, arguments.data_dir)


def serve(server: Server, ready: Ready, token: str, data_dir: Path) -> int:
    ops = f"\n  ops        http://{ready.ops_address}/metrics, /livez, /readyz" if ready.ops_address else ""
    places = {"data_dir": shown(data_dir), "log": shown(server.log), "token": token, "ops": ops}
    print(BANNER.format(**vars(ready), **places), flush=True)
    try:
        server.wait()
    except KeyboardInterrupt:
        print("\rstopping ...", flush=True)
    return 0


def read_token(data_dir: Path) -> str:
    """The dev token of account demo; raises ServerEnded when the service made none, as with --tokens."""
    try:
        return (data_dir / "dev-token").read_text().strip()
    except FileNotFoundError:
        sentence = (
            f"No dev-token in {data_dir}: the sample works with the dev token only, so without --tokens."
        )
        raise ServerEnded(1, sentence) from None


def shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
