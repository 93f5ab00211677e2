"""A run of the benchmark that does not come to its end: what was measured is not lost."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from bench.__main__ import equipped
from bench.figures import Figure
from bench.load_generator import NotAnswered
from bench.report import Report, reported

SPEED = Figure("speed", 2.5, "x")


@pytest.mark.parametrize(
    "error", [NotAnswered("no"), RuntimeError("no peer"), CalledProcessError(1, "peer")], ids=repr
)
def test_a_measure_that_fails_is_told_and_the_next_one_goes_on(error: Exception) -> None:
    """As when a peer does not start: a sentence with the name of the measure."""
    report = Report()
    for name, outcome in (("one", [SPEED]), ("two", error), ("three", [SPEED])):
        report.take(name, outcomes(outcome))
    assert report.figures == [SPEED, SPEED]
    assert report.failed == [f"two: {error}"]


def outcomes(outcome: list[Figure] | Exception) -> Callable[[], list[Figure]]:
    def measure() -> list[Figure]:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return measure


def test_ctrl_c_loses_no_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are shown and written, and both say that others are missing."""
    with reported(tmp_path / "figures") as report:
        report.take("speed", outcomes([SPEED]))
        raise KeyboardInterrupt
    written = json.loads((tmp_path / "figures").read_text())
    assert [each["measure"] for each in written["figures"]] == ["speed"]
    assert written["failed"] == ["interrupted: what was to come is left out"]
    shown = capsys.readouterr().out
    assert "speed" in shown
    assert "FAILED interrupted" in shown


def test_a_defect_of_a_measure_loses_no_figure(tmp_path: Path) -> None:
    """It is seen as what it is, behind the figures."""

    def run() -> None:
        with reported(tmp_path / "figures") as report:
            report.take("speed", outcomes([SPEED]))
            report.take("wrong", outcomes(KeyError("p99")))

    with pytest.raises(KeyError):
        run()
    written = json.loads((tmp_path / "figures").read_text())
    assert [each["measure"] for each in written["figures"]] == ["speed"]
    assert written["failed"] == ["broken off: what was to come is left out"]


@pytest.mark.parametrize("go", ["exit 1", None])
def test_without_a_load_generator_some_measures_are_left_out(
    go: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence says which, and whether Go is missing or could not build it."""
    if go:
        (tmp_path / "go").write_text(f"#!/bin/sh\n{go}\n")
        (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("GOROOT", raising=False)
    assert equipped(["get", "start", "export"], tmp_path / "load") == ["start"]
    why = "GO COULD NOT BUILD THE LOAD GENERATOR, see above" if go else "NO GO ON THE PATH"
    told = f"{why}: without the load generator these are left out: get, export\n\n"
    assert capsys.readouterr().out == told
