"""The README as somebody reads it who types its commands from the top: each finds what it needs."""

import re
import shlex
from pathlib import Path

import pytest

from contactservice.cli import _parser
from contactservice.cli.settings import VARIABLES
from service.__main__ import main
from service.config import Config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# Lines to be typed: the command, and all that stands on them.
COMMANDS = re.findall(r"^    contactservice (\S+(?: add)?)(.*)$", README, re.MULTILINE)
# `contacts` as it is typed, without its comment.
CONTACTS = [line.split("#")[0] for line in re.findall(r"^contacts (.*)$", README, re.MULTILINE)]


def test_the_command_is_on_the_path_before_it_is_typed() -> None:
    """`./dev` installs into .venv, which a plain shell does not look into."""
    assert README.index(". .venv/bin/activate") < README.index("\n    contactservice ")


def test_a_token_file_is_made_before_it_is_used() -> None:
    """The first command that names it is the one that makes it."""
    assert next(name for name, rest in COMMANDS if "tokens.jsonl" in rest) == "token add"


@pytest.mark.parametrize(("name", "rest"), COMMANDS)
def test_commands_and_their_flags_exist(name: str, rest: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each flag stands in the help of its command."""
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), "--help"])
    assert ended.value.code == 0
    assert set(re.findall(r"--[a-z-]+", rest)) <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


@pytest.mark.parametrize("line", CONTACTS)
def test_lines_of_contacts_are_understood(line: str) -> None:
    """Command, flags and their values."""
    assert _parser().parse_args(shlex.split(line.split("|", maxsplit=1)[0]))


def test_flags_that_are_named_exist() -> None:
    """In text, a flag is a setting or belongs to a command that is named with it."""
    settings = {"--" + name.replace("_", "-") for name in Config.model_fields} | {"--no-reflection"}
    others = {"--once", "--account", "--scopes", "--help", "--config", "--detach", "--build"}
    others |= {flag for words in CONTACTS for flag in re.findall(r"--[a-z-]+", words)}
    others |= {"--" + name.removeprefix("CONTACTSERVICE_").lower().replace("_", "-") for name in VARIABLES}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) <= settings | others


def test_what_a_worker_takes_is_one_figure() -> None:
    """README and runbook tell the same."""
    runbook = (ROOT / "docs" / "operations.md").read_text()
    [one], [other] = (set(re.findall(r"about (\d+) MiB", text)) for text in (README, runbook))
    assert one == other
