"""The sign-up log is what its script writes, and the people in it are told apart by identity alone."""

import importlib
import json
import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LOG = EXAMPLES / "signups.jsonl"


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return [json.loads(line) for line in LOG.read_text(encoding="utf-8").split("\n")[:-1]]


def identity(contact: dict[str, Any]) -> tuple[str, ...]:
    """The contract's rule, written a second time: fingerprints byte by byte, guests by four normal forms."""
    if fingerprint := contact.get("fingerprint"):
        return ("trusted", fingerprint)
    texts = {name: nfkc_folded(contact.get(name, "")) for name in ("name", "email", "phone", "nickname")}
    texts["name"] = re.sub(r"\s+", " ", texts["name"])
    texts["phone"] = re.sub(r"^00", "+", re.sub(r"[ \t\-._()/]", "", texts["phone"]))
    return ("guest", *texts.values())


def nfkc_folded(text: str) -> str:
    for step in (str.casefold, str.strip):
        text = step(unicodedata.normalize("NFKC", text))
    return text


def test_the_script_writes_the_committed_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed gives the committed file back, byte for byte."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    make_signups = importlib.import_module("make_signups")
    assert make_signups.log_text().encode() == LOG.read_bytes()


def test_people_and_identities_are_one_to_one(events: list[dict[str, Any]]) -> None:
    """Every person keeps one identity through all spellings, and no two people share one."""
    identities, people = defaultdict(set), defaultdict(set)
    for event in events:
        identities[event["person"]].add(identity(event["contact"]))
        people[identity(event["contact"])].add(event["person"])
    assert [person for person, known in identities.items() if len(known) > 1] == []
    assert [known for known, who in people.items() if len(who) > 1] == []


def test_the_log_is_worth_sending(events: list[dict[str, Any]]) -> None:
    """Thousands of events of hundreds of people, guests and trusted, most of them returning respelled."""
    spellings = defaultdict(set)
    for event in events:
        shown = {key: value for key, value in event["contact"].items() if key != "metadata"}
        spellings[event["person"]].add(json.dumps(shown, sort_keys=True))
    guests = {event["person"] for event in events if "fingerprint" not in event["contact"]}
    assert (len(events), len(spellings)) == (3000, 900)
    assert 300 < len(guests) < 700
    assert sum(len(known) > 1 for known in spellings.values()) > 450
    assert len({event["channel"] for event in events}) > 4


def test_nobody_in_the_log_can_be_reached(events: list[dict[str, Any]]) -> None:
    """Mail domains are reserved for examples, numbers are kept for fiction."""
    reserved = re.compile(r".+@(example\.(com|org|net)|(mail|bücher)\.example)")
    numbers = (
        "(1?(212|415))55501..",
        "447700900...",
        "442079460...",
        "493023125...",
        "3363998....",
        "6125550....",
    )
    fictional = re.compile(rf"\+?({'|'.join(numbers)})".replace(".", r"\d"))
    for event in events:
        contact = {"email": "", "phone": ""} | event["contact"]
        email = nfkc_folded(contact["email"])
        phone = identity({"phone": contact["phone"]})[3]
        assert not email or reserved.fullmatch(email)
        assert not phone or fictional.fullmatch(phone)
