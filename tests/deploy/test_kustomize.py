"""deploy/kustomize: that its objects fit each other and the service, and how little they may do."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import config as configuration
from service.__main__ import main
from service.config import ENVIRONMENT_PREFIX, Config
from service.rpc import listening
from tests.deploy.dockerfile import ROOT, stages

BASE = ROOT / "deploy/kustomize/base"
EXAMPLE = ROOT / "deploy/kustomize/example"


def kustomization(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "kustomization.yaml").read_text()))


OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    (each["kind"], each["metadata"]["name"]): each
    for file in kustomization(BASE)["resources"]
    for each in yaml.safe_load_all((BASE / file).read_text())
}
DEPLOYMENT = OBJECTS["Deployment", "contactservice"]
JOB = OBJECTS["Job", "contactservice-migrate"]
PODS = {"server": DEPLOYMENT["spec"]["template"], "migrate": JOB["spec"]["template"]}
SETTINGS: dict[str, str] = OBJECTS["ConfigMap", "contactservice-settings"]["data"]
each_pod = pytest.mark.parametrize("name", PODS)


def container(name: str) -> dict[str, Any]:
    [only] = PODS[name]["spec"]["containers"]
    return dict(only)


def ports() -> dict[str, int]:
    return {each["name"]: each["containerPort"] for each in container("server")["ports"]}


@pytest.mark.parametrize("folder", [BASE, EXAMPLE], ids=["base", "example"])
def test_every_file_belongs(folder: Path) -> None:
    """A kustomization names every file beside it, and none that is not there."""
    found = kustomization(folder)
    named = {*found["resources"], *(each["path"] for each in found.get("patches", []))}
    assert named - {"../base"} == {path.name for path in folder.iterdir()} - {"kustomization.yaml"}


def test_patches_are_of_objects_that_are_there() -> None:
    """Each patch of the example finds its object in the base."""
    for each in kustomization(EXAMPLE)["patches"]:
        patch = yaml.safe_load((EXAMPLE / each["path"]).read_text())
        assert (patch["kind"], patch["metadata"]["name"]) in OBJECTS


def test_the_settings_start_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of base and example are known, their values are taken, and nothing about them is unsafe."""
    patch = yaml.safe_load((EXAMPLE / "settings.yaml").read_text())["data"]
    known = {ENVIRONMENT_PREFIX + field.upper() for field in Config.model_fields}
    for name, value in (SETTINGS | patch).items():
        assert name in known
        assert isinstance(value, str)
        monkeypatch.setenv(name, value)
    (tmp_path / "tokens.jsonl").touch()
    listening.credentials(configuration.load({"tokens": tmp_path / "tokens.jsonl"}))


@each_pod
def test_commands_are_such_that_the_service_has(name: str) -> None:
    """The arguments of a container begin with a command of the entry point, which the image has."""
    assert "command" not in container(name)
    with pytest.raises(SystemExit) as ended:
        main([*container(name)["args"], "--help"])
    assert ended.value.code == 0


@each_pod
def test_pods_can_change_nothing(name: str) -> None:
    """Not root, no privilege to be had, no capability, no writable root, no token of Kubernetes."""
    pod, inside = PODS[name]["spec"], container(name)["securityContext"]
    user, _, group = stages()[1].only("USER").partition(":")
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == int(user)
    assert pod["securityContext"]["runAsGroup"] == int(group)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert inside == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(name)["resources"]["limits"]["memory"]
    assert ("ServiceAccount", pod["serviceAccountName"]) in OBJECTS


@each_pod
def test_what_a_container_refers_to_is_there(name: str) -> None:
    """Config maps are in the base; secrets are those that the example says how to make, with their keys."""
    recipe = (EXAMPLE / "kustomization.yaml").read_text()
    for each in container(name)["envFrom"]:
        assert ("ConfigMap", each["configMapRef"]["name"]) in OBJECTS
    for each in container(name)["env"]:
        secret = each["valueFrom"]["secretKeyRef"]
        assert f"generic {secret['name']} --from-literal={secret['key']}=" in recipe
    volumes = {each["name"]: each for each in PODS[name]["spec"].get("volumes", [])}
    mounts = container(name).get("volumeMounts", [])
    assert {each["name"] for each in mounts} == set(volumes)
    assert not any("subPath" in each for each in mounts)
    for each in volumes.values():
        assert "emptyDir" in each or f" {each['secret']['secretName']} " in recipe


def test_settings_name_files_that_are_mounted() -> None:
    """Tokens and certificates are looked for where their secrets are."""
    folders = [each["mountPath"] for each in container("server")["volumeMounts"]]
    files = [value for name, value in SETTINGS.items() if name.endswith(("TOKENS", "CERT", "KEY"))]
    assert len(files) == 3
    assert all(Path(file).parent.as_posix() in folders for file in files)


def test_ports_are_those_of_the_settings() -> None:
    """Probes, Service, policies and scraping meet the ports that the service listens on."""
    assert SETTINGS["CONTACTSERVICE_ADDRESS"] == f"0.0.0.0:{ports()['grpc']}"
    assert SETTINGS["CONTACTSERVICE_OPS_ADDRESS"] == f"0.0.0.0:{ports()['ops']}"
    [port] = OBJECTS["Service", "contactservice"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (ports()["grpc"], "grpc")
    annotations = PODS["server"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports()["ops"])
    for rule in OBJECTS["NetworkPolicy", "contactservice"]["spec"]["ingress"]:
        assert all(each["port"] in ports() for each in rule["ports"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container("server")[probe]["httpGet"]["port"] == "ops"


def test_probes_ask_what_they_are_for() -> None:
    """A restart follows the process only; traffic follows the database and the drain, at once."""
    server = container("server")
    assert server["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert server["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert server["readinessProbe"]["failureThreshold"] == 1


def test_selectors_find_their_pods() -> None:
    """Service, budget, spread and policy select the server, and the migration has a policy of its own."""
    server = {"app.kubernetes.io/component": "server"}
    assert PODS["server"]["metadata"]["labels"] == server
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == server
    assert OBJECTS["Service", "contactservice"]["spec"]["selector"] == server
    assert OBJECTS["PodDisruptionBudget", "contactservice"]["spec"]["selector"]["matchLabels"] == server
    for each in PODS["server"]["spec"]["topologySpreadConstraints"]:
        assert each["labelSelector"]["matchLabels"] == server
    policies = [each for (kind, _), each in OBJECTS.items() if kind == "NetworkPolicy"]
    selected = [each["spec"]["podSelector"]["matchLabels"] for each in policies]
    assert selected == [server, PODS["migrate"]["metadata"]["labels"]]
    assert all(each["spec"]["policyTypes"] == ["Ingress", "Egress"] for each in policies)


def test_a_rollout_and_an_emptied_node_leave_replicas_that_serve() -> None:
    """No replica leaves before another is ready; one at a time is evicted; each has time to drain."""
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert OBJECTS["PodDisruptionBudget", "contactservice"]["spec"]["maxUnavailable"] == 1
    assert DEPLOYMENT["spec"]["replicas"] >= 2
    assert PODS["server"]["spec"]["terminationGracePeriodSeconds"] >= 40


def test_the_service_is_headless() -> None:
    """A client sees each replica, and balances its calls among them."""
    assert OBJECTS["Service", "contactservice"]["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize("folder", [BASE, EXAMPLE], ids=["base", "example"])
def test_kustomize_builds_it(folder: Path) -> None:
    """The tool itself makes all objects of it, with the selectors as they are here."""
    kustomize = shutil.which("kustomize")
    if kustomize is None:
        pytest.skip("no kustomize here")
    built = subprocess.run([kustomize, "build", folder], capture_output=True, text=True, check=True).stdout
    objects = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(built)}
    assert set(OBJECTS) <= set(objects)
    template = objects["Deployment", "contactservice"]["spec"]["template"]
    selector = objects["Service", "contactservice"]["spec"]["selector"]
    assert selector.items() <= template["metadata"]["labels"].items()
