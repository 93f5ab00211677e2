"""`./dev bench`: measures the service against its peers on this machine and says what is met.

./dev bench                    all measures but scale, 20 to 30 minutes
./dev bench --quick            the main ones, less exact, under three minutes
./dev bench get export         these
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench import laboratory, load_generator
from bench.figures import Figure
from bench.laboratory import FULL, QUICK, Laboratory
from bench.load_generator import NotBuilt
from bench.measures import attacks, busy, calls, exports, overload, pages, scale, sizes
from bench.report import reported

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
    with tempfile.TemporaryDirectory(prefix="contactservice-bench-") as temporary:
        folder = Path(temporary)
        binary = folder / "load"
        possible = equipped(names, binary)
        with (
            reported(options.json) as report,
            laboratory.opened(QUICK if options.quick else FULL, folder, binary) as lab,
        ):
            for name in possible:
                print(f"measuring {name} ...", file=sys.stderr)
                report.take(name, partial(MEASURES[name], lab))
    sys.exit(bool(report.failed) or len(possible) < len(names))


def equipped(names: Sequence[str], binary: Path) -> Sequence[str]:
    """Builds the load generator; without it only some measures are possible, which is told."""
    try:
        load_generator.build(binary)
    except NotBuilt as why:
        left_out = ", ".join(name for name in names if name not in WITHOUT_GO)
        print(f"{why}: without the load generator these are left out: {left_out}\n")
        return [name for name in names if name in WITHOUT_GO]
    return names


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
