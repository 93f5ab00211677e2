"""What is installed, and whether it is known to be weak: a CycloneDX bill of each lock, and an audit of it.

Bills go into dist/sbom. Exit code 1: an advisory was found, or a bill could not be made. 3: the audit was not
made, since the package index knows no advisories or does not answer; nothing is known then, and that is said.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("image", "build", "run", "test", "check")
NOT_AUDITED = 3
_SECONDS = 90


def main() -> int:
    folder = ROOT / "dist/sbom"
    folder.mkdir(parents=True, exist_ok=True)
    for lock in LOCKS:
        bill(lock, folder / f"{lock}.cdx.json")
    codes = [audit(lock) for lock in ("image", "build")]
    return 1 if 1 in codes else max(codes)


def bill(lock: str, into: Path) -> None:
    """Writes the bill of a lock; every package of it has to be there with its hash."""
    source = ROOT / "requirements" / f"{lock}.txt"
    command = ["cyclonedx-py", "requirements", source, "--output-reproducible", "--of", "JSON", "-o", into]
    if lock == "image":
        command += ["--pyproject", ROOT / "pyproject.toml"]
    subprocess.run([Path(sys.executable).parent / command[0], *command[1:]], check=True, timeout=_SECONDS)
    listed = {each["name"].lower() for each in json.loads(into.read_text())["components"]}
    missing = set(re.findall(r"^([A-Za-z0-9._-]+)==", source.read_text(), re.MULTILINE)) - listed
    if missing:
        sys.exit(f"{into.name} lacks {', '.join(sorted(missing))}")
    print(f"{into.relative_to(ROOT)}: {len(listed)} packages")


def audit(lock: str) -> int:
    """0: audited, nothing found. 1: found. 3: not audited."""
    source = ROOT / "requirements" / f"{lock}.txt"
    command = [Path(sys.executable).parent / "pip-audit", "--require-hashes", "--disable-pip"]
    options = ["--progress-spinner", "off", "--format", "json", "--timeout", "10", "--requirement", source]
    try:
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return _not_audited(lock, f"the package index did not answer within {_SECONDS} s")
    return judged(lock, done.stdout, done.stderr)


def judged(lock: str, report: str, complaint: str) -> int:
    """The code of what pip-audit said."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = complaint.strip().splitlines()[-1:] or ["it said nothing"]
        return _not_audited(lock, last[0])
    weak = [each for each in packages if each.get("vulns")]
    for each in weak:
        for advisory in each["vulns"]:
            mended = ", ".join(advisory.get("fix_versions", [])) or "none yet"
            print(f"FOUND: {each['name']} {each['version']}: {advisory['id']}, mended in: {mended}")
    if weak:
        return 1
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    if skipped or not packages:
        return _not_audited(lock, f"{len(skipped)} of {len(packages)} packages were skipped")
    print(f"requirements/{lock}.txt: {len(packages)} packages, no advisory")
    return 0


def _not_audited(lock: str, why: str) -> int:
    print(f"NOT AUDITED: requirements/{lock}.txt: {why}")
    return NOT_AUDITED


if __name__ == "__main__":
    sys.exit(main())
