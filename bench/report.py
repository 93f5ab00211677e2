"""What a run of the benchmark has measured so far: shown and written at its end, however it ends."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import laboratory
from bench.figures import Figure, table
from bench.load_generator import NotAnswered


@dataclass
class Report:
    """Figures, and a sentence for each measure that failed."""

    figures: list[Figure] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def take(self, name: str, measure: Callable[[], list[Figure]]) -> None:
        """One that fails is told, and does not end the run."""
        try:
            self.figures += measure()
        except (NotAnswered, subprocess.SubprocessError, RuntimeError) as error:
            self.failed.append(f"{name}: {error}")

    def show(self) -> None:
        facts = laboratory.machine()
        print(f"{facts['cores']} cores of {facts['cpu']}, {facts['memory_mib']:,} MiB\n")
        print(table(self.figures))
        print("\nCPU: server/mongod/load generator. Ratios: medians over the rounds' pairs.")
        for sentence in self.failed:
            print(f"FAILED {sentence}")

    def write(self, file: Path) -> None:
        figures = [asdict(each) for each in self.figures]
        whole = {"machine": laboratory.machine(), "figures": figures, "failed": self.failed}
        file.write_text(json.dumps(whole, indent=2) + "\n")


@contextmanager
def reported(file: Path | None) -> Iterator[Report]:
    """Shown, and written into the file, at the end of the block; Ctrl-C is an end like others."""
    report = Report()
    try:
        yield report
    except KeyboardInterrupt:
        report.failed.append("interrupted: what was to come is left out")
    except BaseException:
        report.failed.append("broken off: what was to come is left out")
        raise
    finally:
        report.show()
        if file:
            report.write(file)
