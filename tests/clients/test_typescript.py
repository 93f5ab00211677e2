"""What only the packages of npm need: that they are locked as everything is."""

import json
from pathlib import Path

import pytest

from tests.clients.program import ROOT, TYPESCRIPT


@pytest.mark.parametrize(
    "folder", [TYPESCRIPT, ROOT / "requirements" / "typescript"], ids=lambda folder: folder.name
)
def test_npm_is_told_hashes_and_no_addresses(folder: Path) -> None:
    """Each package of a lock has its hash, and none says from where it is."""
    text = (folder / "package-lock.json").read_text()
    _, *packages = json.loads(text)["packages"].values()
    assert all(package["integrity"].startswith("sha512-") for package in packages)
    assert "://" not in text
