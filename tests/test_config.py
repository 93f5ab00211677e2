"""Settings: which source wins, and what a wrong one is told."""

from pathlib import Path

import pytest

from service import config
from service.config import ConfigInvalid, environment_of
from service.sources import OF_THE_CLIENT


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MONGODB_URI", "CONTACTSERVICE_DATABASE", "CONTACTSERVICE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_those_of_the_contract() -> None:
    """Without anything, loopback on port 50051, an own database, its data below the current folder."""
    settings = config.load({})
    assert settings.address == "127.0.0.1:50051"
    assert settings.mongodb_uri is None
    assert settings.data_dir == Path(".contactservice/data")


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Precedence: flag, environment, TOML file, default."""
    file = tmp_path / "settings.toml"
    file.write_text('database = "from-file"\naddress = "127.0.0.1:1"\nlog_level = "error"\n')
    monkeypatch.setenv("CONTACTSERVICE_CONFIG", str(file))
    monkeypatch.setenv("CONTACTSERVICE_DATABASE", "from-environment")
    monkeypatch.setenv("CONTACTSERVICE_ADDRESS", "127.0.0.1:2")
    settings = config.load({"address": "127.0.0.1:3"})
    assert settings.address == "127.0.0.1:3"
    assert settings.database == "from-environment"
    assert settings.log_level == "error"
    assert settings.store_timeout == 5.0


def test_mongodb_uri_is_taken_from_its_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """MONGODB_URI is honoured, and kept out of what is printed of the settings."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://user:hunter2@db")
    settings = config.load({})
    assert settings.mongodb_uri
    assert settings.mongodb_uri.get_secret_value() == "mongodb://user:hunter2@db"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("name", ["CONTACTSERVICE_MONGODB_URI", "MONGODB_URI", "mongodb_uri"])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_variable_names_no_database(name: str, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that was not handed over starts no database of our own, and is not passed over for another."""
    monkeypatch.setenv(name, empty)
    if name == "CONTACTSERVICE_MONGODB_URI":
        monkeypatch.setenv("MONGODB_URI", "mongodb://usual")
    with pytest.raises(ConfigInvalid, match=rf"^mongodb_uri: is empty.* \(environment {name}\)$"):
        config.load({})


def test_an_empty_flag_names_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does `--mongodb-uri "$UNSET"`, which would win over the environment."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://usual")
    with pytest.raises(ConfigInvalid, match=r"^mongodb_uri: is empty.* \(flag --mongodb-uri\)$"):
        config.load({"mongodb_uri": ""})


@pytest.mark.parametrize("name", ["CONTACTSERVICE_ADRESS", "contactservice_adress", "Contactservice_Adress"])
def test_an_unknown_variable_stops_the_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt setting is named, not ignored, in whatever case it is written."""
    monkeypatch.setenv(name, "127.0.0.1:1")
    with pytest.raises(ConfigInvalid, match=f"{name} is no setting"):
        config.load({})


@pytest.mark.parametrize("name", sorted(OF_THE_CLIENT))
def test_variables_of_the_command_stop_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has set them for `contacts` may start a service from the same shell."""
    monkeypatch.setenv(name, "anything")
    assert config.load({}) == config.Config()


def test_a_variable_counts_in_any_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """That of a setting, and that which names the file of others."""
    (tmp_path / "settings.toml").write_text('log_level = "error"\n')
    monkeypatch.setenv("contactservice_config", str(tmp_path / "settings.toml"))
    monkeypatch.setenv("contactservice_rate_calls", "1/s")
    settings, sources = config.loaded({})
    assert (settings.log_level, settings.rate_calls) == ("error", "1/s")
    assert sources.of("rate_calls") == ("environment", "contactservice_rate_calls")


def test_an_unknown_line_of_the_file_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So is one in the TOML file."""
    file = tmp_path / "settings.toml"
    file.write_text('adress = "127.0.0.1:1"\n')
    monkeypatch.setenv("CONTACTSERVICE_CONFIG", str(file))
    with pytest.raises(ConfigInvalid, match=rf"^adress: is no setting \(file {file}\)$"):
        config.load({})


@pytest.mark.parametrize("content", [None, "address = "])
def test_a_file_that_cannot_be_read_stops_the_start(
    content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is absent or no TOML is told as such."""
    file = tmp_path / "settings.toml"
    if content:
        file.write_text(content)
    monkeypatch.setenv("CONTACTSERVICE_CONFIG", str(file))
    with pytest.raises(ConfigInvalid):
        config.load({})


@pytest.mark.parametrize("variable", ["CONTACTSERVICE_MONGODB_URI", "MONGODB_URI"])
def test_the_services_own_variable_wins_over_the_usual_one(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MONGODB_URI may be meant for others, CONTACTSERVICE_MONGODB_URI is not."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://usual")
    monkeypatch.setenv(variable, f"mongodb://{variable.lower()}")
    settings, sources = config.loaded({})
    assert settings.mongodb_uri
    assert settings.mongodb_uri.get_secret_value() == f"mongodb://{variable.lower()}"
    assert sources.of("mongodb_uri") == ("environment", variable)


@pytest.mark.parametrize("variable", [True, False])
def test_the_file_of_the_flag_is_taken(
    variable: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """--config names a file as CONTACTSERVICE_CONFIG does, and wins over it."""
    (tmp_path / "one").write_text('database = "one"\n')
    (tmp_path / "two").write_text('database = "two"\naddress = "127.0.0.1:1"\n')
    if variable:
        monkeypatch.setenv("CONTACTSERVICE_CONFIG", str(tmp_path / "two"))
    settings = config.load({}, tmp_path / "one")
    assert (settings.database, settings.address) == ("one", "127.0.0.1:50051")
    with pytest.raises(ConfigInvalid, match=r"--config names .*nowhere"):
        config.load({}, tmp_path / "nowhere")


def test_a_wrong_value_is_told_with_its_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The flag, the variable or the file: where an operator has to look."""
    file = tmp_path / "settings.toml"
    file.write_text('store_timeout = "soon"\n')
    with pytest.raises(ConfigInvalid, match=rf"^store_timeout: .*\(file {file}\)$"):
        config.load({}, file)
    monkeypatch.setenv("CONTACTSERVICE_STORE_TIMEOUT", "later")
    with pytest.raises(
        ConfigInvalid, match=r"^store_timeout: .*\(environment CONTACTSERVICE_STORE_TIMEOUT\)$"
    ):
        config.load({}, file)
    with pytest.raises(ConfigInvalid, match=r"^store_timeout: .*\(flag --store-timeout\)$"):
        config.load({"store_timeout": "never"}, file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store_timeout", "soon"),
        ("store_timeout", "0"),
        ("log_format", "xml"),
        ("workers", "0"),
        ("calls_in_flight", "0"),
        ("memory_limit", "half"),
        *(
            ("database", name)
            for name in ("", "a.b", "a b", "a/b", "$a", "a\0", "a\n", 64 * "a", 32 * "ä", "local")
        ),
        *(
            ("rate_calls", text)
            for text in ("", "100", "/s", "0/s", "-1/s", "1.5/s", "1/d", "1/s:", "1/s:0", "1/s\n")
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_setting(name: str, value: str) -> None:
    """The sentence starts with the setting."""
    with pytest.raises(ConfigInvalid, match=f"^{name}: "):
        config.load({name: value})


@pytest.mark.parametrize("name", [63 * "a", "contacts-2", "Kunden_ä"])
def test_a_database_may_have_any_name_that_mongodb_takes(name: str) -> None:
    """Up to 63 bytes, of any letters."""
    assert config.load({"database": name}).database == name


@pytest.mark.parametrize(("text", "found"), [("1024", 1024), ("512MiB", 512 * 2**20), ("2GB", 2 * 10**9)])
def test_a_memory_limit_may_have_a_unit(text: str, found: int) -> None:
    """Bytes, or what people write."""
    assert config.load({"memory_limit": text}).memory_limit == found


def test_settings_are_handed_to_another_process_by_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process with that environment has the same settings, secrets included, whatever ours had besides."""
    file = tmp_path / "settings.toml"
    file.write_text('log_level = "error"\ndrain_timeout = 0.25\n')
    monkeypatch.setenv("CONTACTSERVICE_CONFIG", str(file))
    monkeypatch.setenv("CONTACTSERVICE_DATABASE", "ours")
    monkeypatch.setenv("MONGODB_URI", "mongodb://other")
    monkeypatch.setenv("HOME", "/home/ann")
    flags = {
        "mongodb_uri": "mongodb://user:hunter2@db",
        "tokens": tmp_path,
        "reflection": False,
        "workers": 3,
        "rate_calls": "100/s:500",
        "memory_limit": "1GiB",
    }
    settings = config.load(flags)
    environment = environment_of(settings)
    assert environment["HOME"] == "/home/ann"
    for name in ("MONGODB_URI", "CONTACTSERVICE_CONFIG", "CONTACTSERVICE_DATABASE"):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert config.load({}) == settings
    assert settings.workers == 3
    assert (settings.log_level, settings.drain_timeout) == ("error", 0.25)
