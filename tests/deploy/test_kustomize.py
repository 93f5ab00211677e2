"""deploy/kustomize: that its objects fit each other and the service, and how little they may do."""

import re
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
POD_MONITOR = ROOT / "deploy/kustomize/pod-monitor"
Objects = dict[tuple[str, str], dict[str, Any]]


def kustomization(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "kustomization.yaml").read_text()))


def objects(*texts: str) -> Objects:
    """Each by its kind and name."""
    found = [each for text in texts for each in yaml.safe_load_all(text)]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def resources(folder: Path) -> Objects:
    return objects(*((folder / file).read_text() for file in kustomization(folder)["resources"]))


def settings(folder: Path) -> dict[str, str]:
    [generator] = kustomization(folder)["configMapGenerator"]
    lines = [line for file in generator["envs"] for line in (folder / file).read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


SERVER, MIGRATION = ("Deployment", "contactservice"), ("Job", "contactservice-migrate")
OBJECTS = resources(BASE)
DEPLOYMENT = OBJECTS[SERVER]
PODS = {"server": DEPLOYMENT["spec"]["template"], "migrate": OBJECTS[MIGRATION]["spec"]["template"]}
RUNBOOK = (ROOT / "docs/operations.md").read_text()
SETTINGS = settings(BASE)
each_pod = pytest.mark.parametrize("name", PODS)


def container(name: str) -> dict[str, Any]:
    [only] = PODS[name]["spec"]["containers"]
    return dict(only)


def ports() -> dict[str, int]:
    return {each["name"]: each["containerPort"] for each in container("server")["ports"]}


def labels(name: str) -> dict[str, str]:
    """Those of a pod: of its template, and what the kustomization adds to every template."""
    [added] = kustomization(BASE)["labels"]
    assert added["includeTemplates"]
    assert "includeSelectors" not in added
    return {**PODS[name]["metadata"]["labels"], **added["pairs"]}


def built(folder: Path) -> Objects:
    """What the tool itself makes of it."""
    kustomize = shutil.which("kustomize")
    if kustomize is None:
        pytest.skip("no kustomize here")
    done = subprocess.run([kustomize, "build", folder], capture_output=True, text=True, check=True)
    return objects(done.stdout)


def overlay(folder: Path, *lines: str) -> Path:
    """The example, copied with all that it stands on, and with more lines in its kustomization."""
    shutil.copytree(EXAMPLE.parent, folder, dirs_exist_ok=True)
    with (folder / EXAMPLE.name / "kustomization.yaml").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)
    return folder / EXAMPLE.name


@pytest.mark.parametrize("folder", [BASE, EXAMPLE, POD_MONITOR], ids=lambda each: each.name)
def test_every_file_belongs(folder: Path) -> None:
    """A kustomization names every file beside it, and none that is not there."""
    found = kustomization(folder)
    named = {*found["resources"], *(each["path"] for each in found.get("patches", []))}
    named |= {file for each in found.get("configMapGenerator", []) for file in each["envs"]}
    assert named - {"../base"} == {path.name for path in folder.iterdir()} - {"kustomization.yaml"}


def test_patches_are_of_objects_that_are_there() -> None:
    """Each patch of the example finds its object in the base."""
    for each in kustomization(EXAMPLE)["patches"]:
        patch = yaml.safe_load((EXAMPLE / each["path"]).read_text())
        assert (patch["kind"], patch["metadata"]["name"]) in OBJECTS


def test_the_settings_start_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of base and example are known, their values are taken, and nothing about them is unsafe."""
    known = {ENVIRONMENT_PREFIX + field.upper() for field in Config.model_fields}
    for name, value in (SETTINGS | settings(EXAMPLE)).items():
        assert name in known
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
    generated = [each["name"] for each in kustomization(BASE)["configMapGenerator"]]
    assert [each["configMapRef"]["name"] for each in container(name)["envFrom"]] == generated
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
    server = labels("server")
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == server
    assert OBJECTS["Service", "contactservice"]["spec"]["selector"] == server
    assert OBJECTS["PodDisruptionBudget", "contactservice"]["spec"]["selector"]["matchLabels"] == server
    for each in PODS["server"]["spec"]["topologySpreadConstraints"]:
        assert each["labelSelector"]["matchLabels"] == server
    policies = [each for (kind, _), each in OBJECTS.items() if kind == "NetworkPolicy"]
    selected = [each["spec"]["podSelector"]["matchLabels"] for each in policies]
    assert selected == [server, labels("migrate")]
    assert server != labels("migrate")
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


def test_the_pod_monitor_scrapes_the_servers_under_the_name_that_alerts_ask_for() -> None:
    """Its selector, port and path are those of the servers, and `job` is a label of theirs."""
    monitor = resources(POD_MONITOR)["PodMonitor", "contactservice"]["spec"]
    assert monitor["selector"]["matchLabels"] == labels("server")
    [endpoint] = monitor["podMetricsEndpoints"]
    assert endpoint["port"] in ports()
    annotations = PODS["server"]["metadata"]["annotations"]
    assert ports()[endpoint["port"]] == int(annotations["prometheus.io/port"])
    assert endpoint["path"] == annotations["prometheus.io/path"]
    asked = set(re.findall(r'job="([^"]*)"', (ROOT / "deploy/observe/alerts.yaml").read_text()))
    assert asked == {labels("server")[monitor["jobLabel"]]}


def test_the_rule_of_the_runbook_names_the_job_as_the_pod_monitor_does() -> None:
    """Where Prometheus finds pods by annotations, the same label of the pod becomes `job`."""
    label = resources(POD_MONITOR)["PodMonitor", "contactservice"]["spec"]["jobLabel"]
    [text] = re.findall(r"^ +relabel_configs:\n(?: +- .*\n)+", RUNBOOK, re.MULTILINE)
    [rule] = yaml.safe_load(text)["relabel_configs"]
    assert rule["source_labels"] == ["__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", label)]
    assert (rule["target_label"], rule["regex"]) == ("job", "(.+)")


@pytest.mark.parametrize("folder", [BASE, EXAMPLE], ids=["base", "example"])
def test_kustomize_builds_it(folder: Path) -> None:
    """The tool makes all objects and labels pods; no selector and no peer is other than written."""
    found = built(folder)
    assert set(OBJECTS) <= set(found)
    for (kind, name), each in OBJECTS.items():
        if kind in {"NetworkPolicy", "PodDisruptionBudget", "Service"}:
            assert found[kind, name]["spec"] == each["spec"]
    deployment = found[SERVER]["spec"]
    assert deployment["selector"] == DEPLOYMENT["spec"]["selector"]
    assert deployment["template"]["metadata"]["labels"] == labels("server")
    spread = [each["labelSelector"] for each in deployment["template"]["spec"]["topologySpreadConstraints"]]
    assert spread == [{"matchLabels": labels("server")}] * 2
    job = found[MIGRATION]["spec"]
    assert job["template"]["metadata"]["labels"] == labels("migrate")


def named_settings(found: Objects) -> tuple[str, dict[str, str]]:
    """The config map that both pods take, and its content."""
    pods = [found[key]["spec"]["template"]["spec"]["containers"][0] for key in (SERVER, MIGRATION)]
    [name] = {each["envFrom"][0]["configMapRef"]["name"] for each in pods}
    return name, found["ConfigMap", name]["data"]


def test_changed_settings_are_changed_pods(tmp_path: Path) -> None:
    """The name of the settings follows their content, so a changed line rolls the replicas out."""
    folder = overlay(tmp_path)
    before, content = named_settings(built(folder))
    assert content == SETTINGS | settings(EXAMPLE)
    (folder / "settings.env").write_text("CONTACTSERVICE_RATE_CALLS=7/s\n")
    after, content = named_settings(built(folder))
    assert content == SETTINGS | {"CONTACTSERVICE_RATE_CALLS": "7/s"}
    assert after != before


def test_the_pod_monitor_is_a_line_of_an_overlay(tmp_path: Path) -> None:
    """It comes into the namespace of the overlay, and without the line it is not there."""
    folder = overlay(tmp_path, "components: [../pod-monitor]")
    monitor = built(folder)["PodMonitor", "contactservice"]
    assert monitor["metadata"]["namespace"] == kustomization(EXAMPLE)["namespace"]
    assert monitor["spec"] == resources(POD_MONITOR)["PodMonitor", "contactservice"]["spec"]
    assert ("PodMonitor", "contactservice") not in built(EXAMPLE)
