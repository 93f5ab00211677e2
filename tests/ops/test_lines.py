"""Log lines: an allow-list of facts, and no text of the driver."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from pymongo.errors import DuplicateKeyError

from service.ops.lines import Layout, Line, LineFormatter, as_json, console

SECRET = "ann@example.com"
FORMATTERS = [LineFormatter(console), LineFormatter(as_json)]


def record(error: BaseException | None = None, **facts: object) -> logging.LogRecord:
    caught = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("service.x", logging.INFO, "f", 1, "call", (), caught)
    made.__dict__.update(facts)
    return made


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_only_known_facts_are_written(formatter: logging.Formatter) -> None:
    """A field that is not on the list is left out, whoever passes it."""
    line = formatter.format(record(method="GetContact", email=SECRET))
    assert "GetContact" in line
    assert SECRET not in line


def test_json_lines_are_objects() -> None:
    """Each line parses, with time, level, event and the facts."""
    line = json.loads(LineFormatter(as_json).format(record(code="OK", milliseconds=1.5)))
    assert line["event"] == "call"
    assert line["level"] == "INFO"
    assert (line["code"], line["milliseconds"]) == ("OK", 1.5)
    assert line["time"].endswith("Z")


def test_what_has_no_utf8_is_escaped_in_json() -> None:
    """Half a surrogate pair in a fact loses neither its line nor those after it."""
    line = LineFormatter(as_json).text(Line(0, "call", {"principal": "\ud800", "file": Path("x")}))
    assert json.loads(line)["principal"] == "\ud800"
    assert json.loads(line)["file"] == "x"


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_driver_error_is_logged_without_its_text(formatter: logging.Formatter) -> None:
    """E11000 quotes the fingerprint; the log has frames, class and code, also for a cause."""
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("a bug") from DuplicateKeyError(f"E11000 dup key: {SECRET}", 11000)
    line = formatter.format(record(caught.value))
    assert SECRET not in line
    assert "DuplicateKeyError" in line
    assert "11000" in line
    assert "RuntimeError: a bug" in line
    assert "test_a_driver_error_is_logged_without_its_text" in line


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_causes_that_lead_in_a_circle_are_told_once(formatter: logging.Formatter) -> None:
    """Whoever raises an error from itself, or from what it led to, has a line all the same."""
    cause, error = KeyError(SECRET), RuntimeError("a bug")
    error.__cause__ = cause
    cause.__context__ = error
    line = formatter.format(record(error))
    assert (line.count("KeyError"), line.count("RuntimeError: a bug")) == (1, 1)
    assert line.index("KeyError") < line.index("RuntimeError")
    error.__cause__ = error
    assert formatter.format(record(error)).count("RuntimeError: a bug") == 1


@pytest.mark.parametrize("wrong", [int, {}.__getitem__, [].index, json.loads])
def test_an_error_that_quotes_a_value_is_logged_without_its_text(wrong: Callable[[str], object]) -> None:
    """What was looked up or could not be read may be somebody's address; class and frames tell where."""
    with pytest.raises((LookupError, ValueError)) as caught:
        wrong(SECRET)
    line = LineFormatter(console).format(record(caught.value))
    assert SECRET not in line
    assert type(caught.value).__name__ in line


@pytest.mark.parametrize("layout", [console, as_json])
def test_a_line_reads_as_its_record_would(layout: Layout) -> None:
    """The same text, to the millisecond, whether a record of logging was made of an event or not."""
    told = record(method="GetContact", reason=None, milliseconds=1.5, email=SECRET)
    line = Line(
        told.created, "call", {"method": "GetContact", "reason": None, "milliseconds": 1.5, "email": SECRET}
    )
    assert LineFormatter(layout).text(line) == LineFormatter(layout).format(told)
    assert SECRET not in LineFormatter(layout).text(line)
