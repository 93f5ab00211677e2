"""docs/operations.md: that each refusal stands in it, and that its commands and flags exist."""

import re

import pytest

from contactservice.v1.errors_pb2 import ErrorReason
from service.__main__ import main
from service.config import Config
from service.rpc.auth import SCOPES
from tests.deploy.dockerfile import ROOT

RUNBOOK = (ROOT / "docs/operations.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()
REASONS = [
    name.removeprefix("ERROR_REASON_") for name, _ in ErrorReason.items() if not name.endswith("UNSPECIFIED")
]
# Those of other programs, and those of one command only.
OTHERS = {
    "--account", "--build-arg", "--detach", "--expires", "--for", "--force-recreate",
    "--from-file", "--from-literal", "--help", "--ignore-not-found", "--json",
    "--oplog", "--oplogReplay", "--profile", "--rm", "--scopes",
    "--service", "--timeout",
}  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_each_refusal_has_its_cause_and_what_to_do(reason: str) -> None:
    """An operator who meets a reason finds exactly one row of it, with both cells filled."""
    rows = re.findall(rf"^\| {reason} \| (.+) \| (.+) \|$", RUNBOOK, re.MULTILINE)
    assert len(rows) == 1


def test_there_is_no_refusal_that_the_contract_does_not_have() -> None:
    """Rows of reasons are those of errors.proto."""
    assert re.findall(r"^\| ([A-Z_]+) \|", RUNBOOK, re.MULTILINE) == REASONS


@pytest.mark.parametrize("text", [RUNBOOK, SECURITY], ids=["operations", "SECURITY"])
def test_flags_that_are_named_exist(text: str) -> None:
    """Each is a setting, or belongs to a command or another program."""
    flags = set(re.findall(r"(?<![\w-])--[a-z][A-Za-z-]+", text))
    settings = {"--" + name.replace("_", "-") for name in Config.model_fields}
    off = {flag.replace("--", "--no-", 1) for flag in settings}
    assert flags <= settings | off | OTHERS


@pytest.mark.parametrize(
    "command", ["health", "doctor", "config show", "migrate", "serve", "token list", "token revoke"]
)
def test_commands_that_are_named_exist(command: str) -> None:
    """Each shows its help."""
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0


def test_tokens_of_examples_may_only_what_their_clients_do() -> None:
    """A token without scopes has all of them, so every example names some."""
    compose = (ROOT / "compose.yaml").read_text()
    examples = re.findall(r"\badd --account\b.*", RUNBOOK + compose)
    assert len(examples) >= 3
    for example in examples:
        [scopes] = re.findall(r"--scopes ([a-z,]+)", example)
        assert set(scopes.split(",")) < set(SCOPES)


def test_each_defence_names_a_test_that_is_there() -> None:
    """The table of defences of SECURITY.md names files, and in them tests, that exist."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", SECURITY)
    assert len(named) >= 15
    for file, test in named:
        source = (ROOT / file).read_text()
        assert not test or f"def {test}(" in source, (file, test)
    rows = [line for line in SECURITY.splitlines() if line.startswith("| ") and "---" not in line]
    table = rows[rows.index("| defence | shown by |") + 1 :]
    assert table
    assert all("`tests/" in row for row in table)


def test_files_that_the_documents_name_exist() -> None:
    """Paths of the repository in both documents lead somewhere."""
    for path in re.findall(r"`((?:docs|deploy|requirements|tests)/[\w./-]+)`", RUNBOOK + SECURITY):
        assert "secrets/" in path or (ROOT / path).exists(), path
