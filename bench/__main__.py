"""`./dev bench`: measures the service against its peers on this machine and says what is met.

./dev bench                    all measures but scale, 20 to 30 minutes
./dev bench --quick            the main ones, less exact, under three minutes
./dev bench get export         these
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench import laboratory, load_generator
from bench.figures import Figure, table
from bench.laboratory import FULL, QUICK, Laboratory
from bench.load_generator import NotAnswered
from bench.measures import attacks, busy, calls, exports, overload, pages, scale, sizes

Measure = Callable[[Laboratory], list[Figure]]

MEASURES: dict[str, Measure] = {
    "get": calls.get,
    "get64": calls.get_saturated,
    "ensure": calls.ensure,
    "create": calls.create,
    "motor": calls.motor,
    "export": exports.export,
    "memory": exports.memory,
    "pages": pages.pages,
    "busy": busy.busy,
    "saturation": busy.saturation,
    "refusals": overload.refusals,
    "noisy": overload.noisy,
    "overload": overload.overload,
    "attacks": attacks.attacks,
    "start": sizes.start,
    "storage": sizes.storage,
    "scale": scale.scale,
}
IN_FULL = [name for name in MEASURES if name not in {"get64", "scale"}]
IN_QUICK = ["get64", "ensure", "create", "export", "memory", "start"]
WITHOUT_GO = {"start", "storage"}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    names = options.measures or (IN_QUICK if options.quick else IN_FULL)
    go = load_generator.find_go()
    if go is None:
        left_out = [name for name in names if name not in WITHOUT_GO]
        names = [name for name in names if name in WITHOUT_GO]
        print(f"NO GO ON THE PATH: without the load generator these are left out: {', '.join(left_out)}\n")
    figures, failed = measured(names, QUICK if options.quick else FULL, go)
    _show(figures, failed)
    if options.json:
        report = {"machine": laboratory.machine(), "figures": [asdict(each) for each in figures]}
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(bool(failed) or go is None)


def measured(names: Sequence[str], pace: laboratory.Pace, go: str | None) -> tuple[list[Figure], list[str]]:
    """The figures, and a sentence for each measure that failed."""
    figures: list[Figure] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="contactservice-bench-") as temporary:
        folder = Path(temporary)
        binary = load_generator.build(go, folder / "load") if go else folder / "none"
        with laboratory.opened(pace, folder, binary) as lab:
            for name in names:
                print(f"measuring {name} ...", file=sys.stderr)
                try:
                    figures += MEASURES[name](lab)
                except (NotAnswered, subprocess.SubprocessError) as error:
                    failed.append(f"{name}: {error}")
    return figures, failed


def _show(figures: Sequence[Figure], failed: Sequence[str]) -> None:
    facts = laboratory.machine()
    print(f"{facts['cores']} cores of {facts['cpu']}, {facts['memory_mib']:,} MiB\n")
    print(table(figures))
    print("\nCPU: server/mongod/load generator. Ratios: medians over the rounds' pairs.")
    for sentence in failed:
        print(f"FAILED {sentence}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev bench", description="Measures the service against its peers."
    )
    parser.add_argument("measures", nargs="*", metavar="measure", help=f"some of {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="the main measures, under three minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    if unknown := set(options.measures) - MEASURES.keys():
        parser.error(f"no such measure: {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    return options


if __name__ == "__main__":
    main()
