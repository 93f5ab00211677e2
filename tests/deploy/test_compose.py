"""compose.yaml: that what it names exists, and in which order its services come up."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import config as configuration
from service.__main__ import main
from service.config import ENVIRONMENT_PREFIX, Config
from tests.deploy.dockerfile import ROOT, stages

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, each in SERVICES.items() if each["image"].startswith("contactservice:")]
FOLDER = ROOT / "deploy/compose"
each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def awaited(name: str) -> dict[str, str]:
    """What a service waits for, and for which condition."""
    waits = SERVICES[name].get("depends_on", {})
    return {each: waits[each]["condition"] for each in waits} if isinstance(waits, dict) else {}


@each_of_ours
def test_settings_are_such_that_the_service_knows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable is a setting, with a value that it takes: an unknown one would stop the start."""
    known = {ENVIRONMENT_PREFIX + field.upper() for field in Config.model_fields} | {"CONTACTSERVICE_CONFIG"}
    variables = {**stages()[1].environment, **SERVICES[name].get("environment", {})}
    ours = {key: text for key, text in variables.items() if key.startswith(ENVIRONMENT_PREFIX)}
    assert set(ours) <= known
    for key, text in ours.items():
        if key != "CONTACTSERVICE_CONFIG":
            monkeypatch.setenv(key, text)
    assert configuration.load({}).address == "0.0.0.0:50051"


@each_of_ours
def test_commands_are_such_that_the_service_has(name: str) -> None:
    """What a container of ours runs is a command of the entry point."""
    service = SERVICES[name]
    command = service.get("command", ["token"] if "entrypoint" in service else [])
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0


def test_the_database_is_asked_where_the_mongod_of_its_first_start_does_not_answer() -> None:
    """The image makes root with a mongod on loopback, without a set; the lasting one answers by its name."""
    asked = SERVICES["mongodb"]["healthcheck"]["test"]
    host = asked[asked.index("--host") + 1]
    assert host in SERVICES
    assert f'const MEMBER = "{host}:27017";' in (FOLDER / "initiate.js").read_text()
    assert any(f"mongodb://{host}:27017/" in word for word in SERVICES["initiate"]["entrypoint"])


def test_steps_wait_for_those_before_them() -> None:
    """Files, database, replica set, indexes, service: each begins when the one before it has ended well."""
    done = "service_completed_successfully"
    assert awaited("mongodb") == {"files": done}
    assert awaited("initiate") == {"mongodb": "service_healthy"}
    assert awaited("migrate") == {"initiate": done}
    assert awaited("contactservice") == {"migrate": done}
    assert all("restart" not in SERVICES[each] for each in ("files", "initiate", "migrate"))


@each_of_ours
def test_our_containers_can_change_nothing(name: str) -> None:
    """A root that is read only, no capability, and none to be had; the user is the image's."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"user", "privileged", "cap_add"} & set(service)


@each_service
def test_images_are_named_to_their_last_digit(name: str) -> None:
    """No tag moves to another release by itself."""
    image = SERVICES[name]["image"]
    assert image.rpartition(":")[2].lstrip("v").count(".") == 2, image


@each_service
def test_nothing_listens_beyond_this_machine(name: str) -> None:
    """Ports are published on loopback; the database not at all."""
    ports = SERVICES[name].get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not (name == "mongodb" and ports)


@each_service
def test_files_secrets_and_volumes_exist(name: str) -> None:
    """What a service mounts is there, and every secret and volume is declared."""
    service = SERVICES[name]
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]


def test_the_service_has_longer_to_stop_than_it_takes() -> None:
    """The grace of the container outlasts a drain, of 35 seconds at most."""
    assert int(SERVICES["contactservice"]["stop_grace_period"].removesuffix("s")) > 35


def test_watching_is_a_profile() -> None:
    """Prometheus and Grafana come when they are asked for, with the alerts and the dashboard."""
    assert {name for name, each in SERVICES.items() if each.get("profiles") == ["observe"]} == {
        "prometheus",
        "grafana",
    }
    prometheus = yaml.safe_load((ROOT / "deploy/observe/prometheus.yaml").read_text())
    [job] = prometheus["scrape_configs"]
    [found] = job["dns_sd_configs"]
    assert found["names"] == ["contactservice"]
    ops = SERVICES["contactservice"]["environment"]["CONTACTSERVICE_OPS_ADDRESS"]
    assert ops == f"0.0.0.0:{found['port']}"
    mounted = {volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]}
    assert set(prometheus["rule_files"]) <= mounted


def made(folder: Path) -> dict[str, str]:
    """Runs secrets.sh there; its files and what is in them."""
    shutil.copy(FOLDER / "secrets.sh", folder)
    subprocess.run(["/bin/sh", str(folder / "secrets.sh")], check=True)
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_passwords_are_made_once_and_kept(tmp_path: Path) -> None:
    """Every declared secret gets its file, in a folder of its own; a second run changes none."""
    first = made(tmp_path)
    assert made(tmp_path) == first
    declared = {Path(each["file"]).name for each in COMPOSE["secrets"].values()}
    assert set(first) == declared
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    assert len({content for name, content in first.items() if "password" in name}) == 3


def test_a_password_that_is_made_anew_gets_into_the_settings(tmp_path: Path) -> None:
    """The settings name the password that is there, and keep what else an operator wrote into them."""
    first = made(tmp_path)
    settings = tmp_path / "secrets/contactservice.toml"
    settings.chmod(0o644)
    settings.write_text(settings.read_text() + 'rate_calls = "100/s"\n')
    (tmp_path / "secrets/mongodb-password").unlink()
    second = made(tmp_path)
    old, new = first["mongodb-password"], second["mongodb-password"]
    assert old != new
    expected = first["contactservice.toml"].replace(old, new) + 'rate_calls = "100/s"\n'
    assert second["contactservice.toml"] == expected
    assert settings.stat().st_mode & 0o777 == 0o444
    assert {name for name in first if first[name] == second[name]} == {
        "mongodb-root-password",
        "grafana-password",
    }
    assert made(tmp_path) == second


def test_the_file_of_settings_is_one_that_the_service_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URI in it names the set, the user and the database of the initiation, with the password made."""
    password = made(tmp_path)["mongodb-password"]
    monkeypatch.delenv("MONGODB_URI", raising=False)
    monkeypatch.setenv("CONTACTSERVICE_CONFIG", str(tmp_path / "secrets/contactservice.toml"))
    secret = configuration.load({}).mongodb_uri
    assert secret
    uri = secret.get_secret_value()
    assert uri == (
        f"mongodb://contactservice:{password}@mongodb:27017/?replicaSet=rs0&authSource=contactservice"
    )
    initiation = (FOLDER / "initiate.js").read_text()
    assert 'rs.initiate({ _id: "rs0"' in initiation
    assert 'getUser("contactservice")' in initiation
    assert "rs0" in SERVICES["mongodb"]["command"]


@pytest.mark.parametrize("script", ["secrets.sh", "prepare.sh"])
def test_scripts_are_plain_shell(script: str) -> None:
    """Every POSIX shell can read them."""
    subprocess.run(["/bin/sh", "-n", FOLDER / script], check=True)
