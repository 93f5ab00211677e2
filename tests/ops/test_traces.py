"""When traces are on: the usual environment decides, and what it cannot have is said and left off."""

import logging
import subprocess
import sys

import pytest

from service.ops import traces

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_TRACES_EXPORTER": "none"} | ENDPOINT, False),
        ({"OTEL_SDK_DISABLED": "true"} | ENDPOINT, False),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_the_environment_asks(environment: dict[str, str], asked: bool) -> None:
    """An endpoint or an exporter turns traces on, `none` and the switch of the whole SDK turn them off."""
    assert traces.asked_for(environment) == asked


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ],
)
def test_what_cannot_be_had_is_told(
    wish: dict[str, str], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning that names the variable; the service serves without traces."""
    caplog.set_level(logging.WARNING, "service")
    assert traces.begun(ENDPOINT | wish) is None
    assert named in caplog.text


def test_without_the_packages_it_is_told() -> None:
    """Asked for and not installed: a warning with the extra's name, no failure."""
    program = (
        "import sys; sys.modules['opentelemetry'] = None; from service.ops import traces;"
        f"print(traces.begun({ENDPOINT!r}))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "None"
    assert "contactservice-server[otel]" in run.stderr


def test_who_does_not_ask_pays_nothing() -> None:
    """The packages are not even imported."""
    program = (
        "import sys; import service.__main__; from service.ops import traces; traces.begun({});"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
