"""`contactservice config`, and what every command does with flags that are none."""

import json
import tomllib
from pathlib import Path

import pytest

from service import config
from service.__main__ import main
from service.commands.config import schema, shown
from service.config import Config


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MONGODB_URI", "CONTACTSERVICE_CONFIG", "CONTACTSERVICE_DATABASE"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(arguments)
    return capsys.readouterr().out


def test_each_setting_is_shown_with_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line a setting: name, value, and the flag, variable or file that it is from."""
    file = tmp_path / "settings.toml"
    file.write_text("workers = 3\nreflection = false\n")
    monkeypatch.setenv("CONTACTSERVICE_DATABASE", "people")
    rows = said(capsys, "config", "show", "--config", str(file), "--address", "127.0.0.1:1").splitlines()
    lines = {row.split()[0]: row.split()[1:] for row in rows}
    assert [*lines] == [*Config.model_fields]
    assert lines["address"] == ["127.0.0.1:1", "flag", "--address"]
    assert lines["database"] == ["people", "environment", "CONTACTSERVICE_DATABASE"]
    assert lines["workers"] == ["3", "file", str(file)]
    assert lines["reflection"] == ["false", "file", str(file)]
    assert lines["store_timeout"] == ["5.0", "default"]
    assert lines["tokens"] == ["-", "default"]


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://ann:hunter2@db/?replicaSet=rs0",
        "mongodb://ann:hunter2@not@escaped@db/?replicaSet=rs0",
        "mongodb://ann:hunter2/not/escaped@db/?replicaSet=rs0",
        "mongodb+srv://ann:hunter2@db/contacts?retryWrites=true",
        "mongodb://db/?tls=true&tlsCertificateKeyFilePassword=hunter2",
        "mongodb://db/?authMechanismProperties=AWS_SESSION_TOKEN:hunter2&replicaSet=rs0",
        "hunter2",
    ],
)
def test_no_secret_is_shown(
    uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passwords inside the URI are masked, also those that should have been escaped."""
    monkeypatch.setenv("MONGODB_URI", uri)
    text = said(capsys, "config", "show")
    assert "hunter2" not in text
    assert "escaped" not in text
    assert "***" in text


def test_a_uri_is_shown_but_for_its_secrets() -> None:
    """Hosts, options and the user help to see what is wrong."""
    assert shown("https://issuer.example/keys?a=b") == "https://issuer.example/keys?a=b"
    assert shown("mongodb://ann:secret@a:1,b:2/db?w=1") == "mongodb://ann:***@a:1,b:2/db?w=1"
    assert shown("mongodb://db/?appName=x@y:z@w") == "mongodb://db/?appName=x@y:z@w"


def test_the_schema_knows_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """It names type, default and bounds of each line that the file may have, and allows no other."""
    found = json.loads(said(capsys, "config", "schema"))
    assert found["properties"].keys() == Config.model_fields.keys()
    assert found["additionalProperties"] is False
    assert all(rule.get("description") for rule in found["properties"].values())
    assert found["properties"]["workers"]["minimum"] == 1
    assert found["properties"]["log_format"]["enum"] == ["console", "json"]
    assert "null" not in json.dumps(found)


def test_the_defaults_of_the_schema_make_a_good_file(tmp_path: Path) -> None:
    """A file with every default of the schema is taken, and sets what no file would."""
    defaults = {name: rule["default"] for name, rule in schema()["properties"].items() if "default" in rule}
    file = tmp_path / "settings.toml"
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in defaults.items()))
    assert tomllib.loads(file.read_text()) == defaults
    assert config.load({}, file) == config.load({})


@pytest.mark.parametrize("command", ["serve", "migrate", "config show"])
@pytest.mark.parametrize("flag", ["--adress", "--addr"])
def test_an_unknown_flag_is_named(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt or shortened flag stops the start: what it means could change with the next version."""
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), flag, "127.0.0.1:1"])
    assert ended.value.code == 2
    assert flag in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints name and version."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("contactservice 0.")
