"""Alerts and dashboard: that they ask for metrics that the running service has, and lead somewhere."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.rpc.server import SERVICE
from tests.deploy.dockerfile import ROOT
from tests.rpc.serving import serving
from tests.scrape import get

ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/observe/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "deploy/observe/dashboards/contactservice.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RUNBOOK = (ROOT / "docs/operations.md").read_text()
# Told by Prometheus itself.
ELSEWHERE = {"up"}
ADDED = {"job", "instance"}
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda each: each["alert"])
_METRIC = re.compile(r"(?<![\w.$])((?:grpc_server|contactservice|process)_\w+|up(?=[{\s]))(\{[^}]*\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_CHOSEN = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
# By sample, its labels, and their values.
Shown = dict[str, dict[str, set[str]]]
_GROUPED = re.compile(r"\bby \(([^)]*)\)")


def expressions() -> Iterator[tuple[str, str]]:
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


each_expression = pytest.mark.parametrize(("where", "expression"), list(expressions()), ids=str)


@pytest_asyncio.fixture(scope="module")
async def shown(mongodb_uri: str, tokens: Path, any_token: str) -> AsyncIterator[Shown]:  # noqa: ARG001
    """The samples that the running service tells, with their labels."""
    flags = {"tokens": tokens, "ops_address": "127.0.0.1:0", "memory_limit": "4GiB"}
    async with serving(mongodb_uri, **flags) as (server, _):
        page = (await get(server.telemetry.ops_address, "/metrics")).text
    found: Shown = {}
    for family in text_string_to_metric_families(page):
        found.setdefault(family.name, {})
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    # What happens seldom has its type before its first sample.
    for line in page.splitlines():
        if line.startswith("# TYPE"):
            found.setdefault(line.split()[2], {})
    yield found


@each_expression
async def test_every_metric_is_one_of_the_running_service(where: str, expression: str, shown: Shown) -> None:
    """A name that is not told would be an alert that never fires, and a panel that stays empty."""
    names = {name for name, _ in _METRIC.findall(expression)}
    assert names, where
    assert names <= set(shown) | ELSEWHERE


@each_expression
async def test_every_label_is_one_of_its_metric(where: str, expression: str, shown: Shown) -> None:
    """What is chosen or grouped by is a label of that metric, or one that Prometheus adds."""
    for name, chosen in _METRIC.findall(expression):
        assert set(_LABEL.findall(chosen)) <= set(shown.get(name, {})) | ADDED, where
    grouped = {label.strip() for group in _GROUPED.findall(expression) for label in group.split(",")}
    labels = {label for name, _ in _METRIC.findall(expression) for label in shown.get(name, {})}
    assert grouped <= labels | ADDED, where


@each_expression
async def test_every_value_is_one_that_the_running_service_tells(
    where: str, expression: str, shown: Shown
) -> None:
    """A bound, code, reason or type that is spelt otherwise would choose nothing."""
    for name, chosen in _METRIC.findall(expression):
        for label, pattern in _CHOSEN.findall(chosen):
            told = shown.get(name, {}).get(label, set())
            for choice in pattern.split("|"):
                assert label in ADDED or any(re.fullmatch(choice, value) for value in told), where


@each_expression
def test_calls_of_other_services_are_not_counted(where: str, expression: str) -> None:
    """Names of gRPC's metrics are shared by all services that one Prometheus reads."""
    for name, chosen in _METRIC.findall(expression):
        if name.startswith("grpc_server_"):
            assert ("grpc_service", SERVICE.full_name) in _CHOSEN.findall(chosen), where


@each_alert
def test_an_alert_says_how_urgent_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    """Severity, one line, and a link to a heading of the runbook."""
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"] == f"docs/operations.md#{alert['alert'].lower()}"
    assert f"\n### {alert['alert']}\n" in RUNBOOK


def test_the_runbook_knows_no_alert_that_is_not_there() -> None:
    """A heading that is left over would send its reader astray."""
    headings = set(re.findall(r"^### (ContactService\w+)$", RUNBOOK, re.MULTILINE))
    assert headings == {alert["alert"] for alert in ALERTS}


def test_brackets_and_quotes_are_closed() -> None:
    """No expression was cut off."""
    for where, expression in expressions():
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing), where
        assert expression.count('"') % 2 == 0, where


def test_panels_have_their_place_and_the_provisioned_source() -> None:
    """No two panels overlap, ids are unique, and all read the data source that is provisioned."""
    source = yaml.safe_load((ROOT / "deploy/observe/grafana/datasources/prometheus.yaml").read_text())[
        "datasources"
    ][0]["uid"]
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
