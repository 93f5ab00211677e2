"""What alerts mean: promtool gives them series in steps of a minute, and they fire when they should."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.dockerfile import ROOT

RULES = ROOT / "deploy/observe/alerts.yaml"
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}
OURS = 'grpc_service="contactservice.v1.ContactService"'
OTHERS = 'grpc_service="other.v1.OtherService"'
A = 'job="contactservice",instance="a"'
HANDLED, TOOK = "grpc_server_handled_total", "grpc_server_handling_seconds_bucket"
DATABASE, LAG = "contactservice_database_seconds_bucket", "contactservice_event_loop_lag_seconds"
# Values by series, as promtool takes them (first+step x times). A rate of 5m is whole from the fifth on.
Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """The alert is quiet at one minute and fires at the others, with these labels and this sentence."""

    alert: str
    series: Series
    quiet: int
    fires: tuple[int, ...]
    says: str
    labels: dict[str, str] = field(default_factory=dict)


ON_A = {"instance": "a", "job": "contactservice"}
CASES = [
    Case(
        "ContactServiceDown",
        {f"up{{{A}}}": "1 0x9"},
        *(2, (3, 9)),
        "a has not answered Prometheus for 2 minutes",
        ON_A,
    ),
    Case(
        "ContactServiceAbsent",
        {f"contactservice_build_info{{{A}}}": "1 1 stale", f"up{{{A}}}": "1 1 0x9"},
        *(6, (7, 30)),
        "Prometheus knows of no replica at all",
    ),
    Case(
        "ContactServiceDatabaseDown",
        {f"contactservice_database_up{{{A}}}": "1 0x9"},
        *(1, (2, 9)),
        "a has not reached MongoDB for a minute",
        ON_A,
    ),
    Case(
        "ContactServiceErrors",
        {
            f'{HANDLED}{{{OURS},grpc_code="OK"}}': "0+98x30",
            f'{HANDLED}{{{OURS},grpc_code="Unavailable"}}': "0+2x30",
            f'{HANDLED}{{{OTHERS},grpc_code="OK"}}': "0+9999x30",
        },
        *(5, (6, 30)),
        "2% of all calls fail by the service's fault",
    ),
    Case(
        "ContactServiceBug",
        {f'{HANDLED}{{{OURS},grpc_method="GetContact",grpc_code="Internal"}}': "0 0 1x30"},
        *(1, (2, 12)),
        "GetContact met a bug",
        {"grpc_method": "GetContact"},
    ),
    Case(
        "ContactServiceSlow",
        {
            f'{TOOK}{{{OURS},grpc_type="unary",le="0.2"}}': "0+0x30",
            f'{TOOK}{{{OURS},grpc_type="unary",le="1.0"}}': "0+60x30",
            f'{TOOK}{{{OURS},grpc_type="unary",le="+Inf"}}': "0+60x30",
        },
        *(10, (11, 30)),
        "One call in a hundred takes longer than 992ms",
    ),
    Case(
        "ContactServiceDatabaseSlow",
        {
            f'{DATABASE}{{{A},le="0.2"}}': "0+0x30",
            f'{DATABASE}{{{A},le="0.5"}}': "0+60x30",
            f'{DATABASE}{{{A},le="+Inf"}}': "0+60x30",
        },
        *(10, (11, 30)),
        "One database operation in a hundred takes longer than 497ms",
    ),
    Case(
        "ContactServiceDatabaseSlotsFull",
        {
            f"contactservice_database_operations{{{A}}}": "0 64x30",
            f"contactservice_database_slots{{{A}}}": "64x30",
        },
        *(5, (6, 30)),
        "a uses 100% of its database operations",
        ON_A,
    ),
    Case(
        "ContactServiceEventLoopStalls",
        {f"{LAG}_count{{{A}}}": "0+12000x30", f'{LAG}_bucket{{{A},le="0.1"}}': "0+11988x30"},
        *(12, (13, 30)),
        "The event loop of a stands still 0.2 times a second",
        {"instance": "a"},
    ),
    Case(
        "ContactServiceCredentialsRefused",
        {'contactservice_refusals_total{reason="CREDENTIALS_INVALID"}': "0+120x30"},
        *(12, (13, 30)),
        "2 calls a second have no good credential",
    ),
    Case(
        "ContactServiceOverload",
        {'contactservice_refusals_total{reason="RATE_LIMITED"}': "0+120x30"},
        *(17, (18, 30)),
        "2 calls a second are refused as RATE_LIMITED",
        {"reason": "RATE_LIMITED"},
    ),
    Case(
        "ContactServiceReloadFailed",
        {f'contactservice_reload_failing{{{A},file="tokens"}}': "0 1x600"},
        *(1, (2, 600)),
        "a cannot read its changed tokens; the old ones are in force",
        {**ON_A, "file": "tokens"},
    ),
    Case(
        "ContactServiceCertificateExpires",
        {f"contactservice_certificate_expires_seconds{{{A}}}": "604800x70"},
        *(60, (61,)),
        "The certificate of a expires in 6d 22h 59m 0s",
        ON_A,
    ),
    Case(
        "ContactServiceMemory",
        {
            f"process_resident_memory_bytes{{{A}}}": "0 850x30",
            f"contactservice_memory_limit_bytes{{{A}}}": "1000x30",
        },
        *(10, (11, 30)),
        "a uses 85% of its memory; exports are refused",
        ON_A,
    ),
    Case(
        "ContactServiceDeletionsStuck",
        {f"contactservice_deletion_oldest_open_seconds{{{A}}}": "0+60x40"},
        *(30, (31,)),
        "The oldest deletion has been open for 31m 0s",
        ON_A,
    ),
]
QUIET: dict[str, tuple[str, Series]] = {
    "bugs of another service": (
        "ContactServiceBug",
        {f'{HANDLED}{{{OTHERS},grpc_method="Get",grpc_code="Internal"}}': "0 0 1x30"},
    ),
    "errors of another service": (
        "ContactServiceErrors",
        {
            f'{HANDLED}{{{OURS},grpc_code="OK"}}': "0+98x30",
            f'{HANDLED}{{{OTHERS},grpc_code="Unavailable"}}': "0+98x30",
        },
    ),
    "mistakes of callers": (
        "ContactServiceErrors",
        {
            f'{HANDLED}{{{OURS},grpc_code="OK"}}': "0+50x30",
            f'{HANDLED}{{{OURS},grpc_code="InvalidArgument"}}': "0+50x30",
        },
    ),
    "long streams": (
        "ContactServiceSlow",
        {
            f'{TOOK}{{{OURS},grpc_type="server_stream",le="0.2"}}': "0+0x30",
            f'{TOOK}{{{OURS},grpc_type="server_stream",le="+Inf"}}': "0+60x30",
        },
    ),
    "a stall now and then": (
        "ContactServiceEventLoopStalls",
        {f"{LAG}_count{{{A}}}": "0+12000x30", f'{LAG}_bucket{{{A},le="0.1"}}': "0+11995x30"},
    ),
    "deletions without a pause, none of them old": (
        "ContactServiceDeletionsStuck",
        {
            f"contactservice_deletion_jobs_open{{{A}}}": "5x30",
            f"contactservice_deletion_oldest_open_seconds{{{A}}}": "20x30",
        },
    ),
    "a file that was mended": (
        "ContactServiceReloadFailed",
        {f'contactservice_reload_failing{{{A},file="tokens"}}': "0x20 1x5 0x10"},
    ),
}


def promtool(*words: str | Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no promtool here")
    done = subprocess.run([tool, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def judged(folder: Path, alert: str, series: Series, expected: dict[int, list[dict[str, Any]]]) -> None:
    """What fires at which minute is what promtool sees, in every detail."""
    values = [{"series": name, "values": each} for name, each in series.items()]
    asked = [
        {"alertname": alert, "eval_time": f"{minute}m", "exp_alerts": fired}
        for minute, fired in expected.items()
    ]
    test = {"interval": "1m", "input_series": values, "alert_rule_test": asked}
    file = folder / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", file)


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.alert)
def test_an_alert_fires_when_it_should(case: Case, tmp_path: Path) -> None:
    """Not before its time, then for as long as it lasts, and its sentence is one that a person can read."""
    rule = ALERTS[case.alert]
    fired = {
        "exp_labels": {**rule["labels"], **case.labels},
        "exp_annotations": {**rule["annotations"], "summary": case.says},
    }
    expected = {case.quiet: [], **{minute: [fired] for minute in case.fires}}
    judged(tmp_path, case.alert, case.series, expected)


@pytest.mark.parametrize("what", QUIET)
def test_an_alert_is_quiet_about(what: str, tmp_path: Path) -> None:
    """What is no trouble of the service wakes nobody."""
    alert, series = QUIET[what]
    judged(tmp_path, alert, series, {30: []})


def test_each_alert_has_its_case() -> None:
    """None is shipped that was never seen to fire."""
    assert [case.alert for case in CASES] == list(ALERTS)


def test_promtool_takes_the_files_of_prometheus() -> None:
    """Rules, their templates and the configuration are such that Prometheus would start with them."""
    promtool("check", "rules", RULES)
    promtool("check", "config", "--syntax-only", ROOT / "deploy/observe/prometheus.yaml")
