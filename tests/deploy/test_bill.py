"""What ./dev sbom makes of an audit: a finding fails, silence of the index is told and is no finding."""

import importlib.util
import json

import pytest

from tests.deploy.dockerfile import ROOT

_spec = importlib.util.spec_from_file_location("bill", ROOT / "requirements/bill.py")
assert _spec
assert _spec.loader
bill = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bill)

GOOD = {"name": "grpcio", "version": "1.85.1", "vulns": []}
SKIPPED = {"name": "orjson", "skip_reason": "Dependency not found on PyPI and could not be audited"}
WEAK = {"name": "idna", "version": "1", "vulns": [{"id": "PYSEC-2024-60", "fix_versions": ["3.7"]}]}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([GOOD], 0, "1 packages, no advisory"),
        ([GOOD, WEAK], 1, "FOUND: idna 1: PYSEC-2024-60, mended in: 3.7"),
        ([SKIPPED, WEAK], 1, "FOUND: idna 1: PYSEC-2024-60"),
        ([GOOD, SKIPPED], 3, "NOT AUDITED: requirements/image.txt: 1 of 2 packages were skipped"),
        ([], 3, "NOT AUDITED"),
    ],
)
def test_an_audit_is_judged(
    packages: list[object], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing found is only said of what was looked at, and a finding wins over what was not."""
    assert bill.judged("image", json.dumps({"dependencies": packages}), "") == code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("report", ["", "no JSON", "[]", "{}"])
def test_an_audit_that_failed_is_none(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its last words are told."""
    assert bill.judged("image", report, "WARNING\nERROR: no network") == 3
    assert capsys.readouterr().out == "NOT AUDITED: requirements/image.txt: ERROR: no network\n"
