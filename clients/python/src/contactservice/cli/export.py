"""`contacts export`: everything that matches, proven complete, to stdout or into a file."""

import argparse
import sys
from pathlib import Path
from typing import Any

from contactservice import ContactClient
from contactservice.cli.arguments import ORDERS, Commands, add_filter, add_order, command
from contactservice.v1.export_pb2 import CSV_CELLS_RAW, CSV_CELLS_SAFE, CsvOptions

_CELLS = {"safe": CSV_CELLS_SAFE, "raw": CSV_CELLS_RAW}


def add(commands: Commands) -> None:
    parser = command(commands, "export", _export, "stream out all contacts that match")
    add_filter(parser)
    add_order(parser, "oldest")
    parser.add_argument(
        "--format", choices=("jsonl", "json", "csv"), default="jsonl", help="default: %(default)s"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="there only when it is whole; until then FILE.part, where the same call goes on",
    )
    parser.add_argument(
        "--max-records", type=int, default=0, metavar="N", help="how many at most (default: all)"
    )
    parser.add_argument(
        "--csv-cells", choices=_CELLS, default="safe", help="raw: what a spreadsheet might run"
    )
    parser.add_argument("--csv-bom", action="store_true", help="for spreadsheets that need it to see UTF-8")


def _export(client: ContactClient, options: argparse.Namespace) -> None:
    asked: dict[str, Any] = {
        "format": options.format.upper(),
        "order": ORDERS[options.order],
        "max_records": options.max_records,
        "csv": CsvOptions(cells=_CELLS[options.csv_cells], bom=options.csv_bom),
    }
    if options.output:
        client.export_to_file(options.output, options.filter, **asked)
        return
    for data in client.export(options.filter, **asked).text():
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
