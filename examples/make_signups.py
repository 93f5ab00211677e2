"""Writes examples/signups.jsonl: the sign-up log of invented people who come back, spelled anew each time.

It knows the truth, `person`, which is never sent: the sample run proves by it that nobody was doubled and no
two people were made one. The same seed gives the same bytes.
"""

import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import invented

SEED = 20261123
PEOPLE = 900
EVENTS = 3000
TARGET = Path(__file__).with_name("signups.jsonl")
START = datetime(2026, 3, 2, 6, tzinfo=UTC)

Fields = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """Someone, as they first wrote themselves; trusted people have a fingerprint."""

    key: str
    contact: Fields

    @property
    def trusted(self) -> bool:
        return "fingerprint" in self.contact


def normal(field: str, text: str) -> str:
    """The normal form in which the service compares a guest's fields."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()
    if field == "name":
        return " ".join(text.split())
    if field != "phone":
        return text
    digits = "".join(character for character in text if character not in " \t-._()/")
    return "+" + digits[2:] if digits.startswith("00") else digits


def identity(contact: Fields) -> tuple[str, ...]:
    """What makes the sender one person: the fingerprint, else all that a guest shows."""
    if "fingerprint" in contact:
        return (contact["fingerprint"],)
    return tuple(normal(field, contact.get(field, "")) for field in ("name", "email", "phone", "nickname"))


class Invention:
    """Draws people and the ways in which they write themselves."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - a repeatable sequence is the point

    def people(self, count: int) -> list[Person]:
        """`count` people with `count` identities, the lookalikes among them."""
        contacts: dict[tuple[str, ...], Fields] = {
            identity(known): {**known} for known in invented.LOOKALIKES
        }
        while len(contacts) < count:
            contact = self.trusted(len(contacts)) if self.draw.random() < 0.4 else self.guest()
            contacts.setdefault(identity(contact), contact)
        return [Person(f"p{number:04}", contact) for number, contact in enumerate(contacts.values(), 1)]

    def trusted(self, number: int) -> Fields:
        issuer = self.draw.choice(invented.ISSUERS)
        return {"fingerprint": f"{issuer}{number + 1000}", "name": self.name(), "email": self.email()}

    def guest(self) -> Fields:
        kinds, weights = zip(*invented.GUESTS, strict=True)
        shown = self.draw.choices(kinds, weights)[0]
        return {field: getattr(self, field)() for field in shown}

    def name(self) -> str:
        given, family, family_first = self.draw.choice(invented.CULTURES)
        parts = [self.draw.choice(given), self.draw.choice(family)]
        return " ".join(reversed(parts) if family_first else parts)

    def email(self) -> str:
        mailbox, domain = self.draw.choice(invented.MAILBOXES), self.draw.choice(invented.MAIL_DOMAINS)
        return f"{mailbox}{self.draw.randrange(1000)}@{domain}"

    def nickname(self) -> str:
        parts = (
            self.draw.choice(invented.NICKNAMES),
            self.draw.choice(("", " ", "_")),
            self.draw.randrange(100),
        )
        return "".join(map(str, parts))

    def phone(self) -> str:
        country, *parts = self.draw.choice(invented.PHONE_RANGES)
        pattern = f"+{country} " + " ".join(parts)
        return "".join(str(self.draw.randrange(10)) if sign == "#" else sign for sign in pattern)

    def event_contact(self, person: Person, channel: str, at: datetime) -> Fields:
        """What this person sends this time: a guest respelled, a trusted one with other details too."""
        sent = {field: self.respelled(field, text) for field, text in person.contact.items()}
        if person.trusted:
            sent |= {"fingerprint": person.contact["fingerprint"]} | self.changed_details()
        elif channel == "kiosk":
            sent |= {field: " " for field in ("name", "nickname") if field not in sent}
        return sent | {"metadata": self.metadata(channel, at)}

    def changed_details(self) -> Fields:
        fields = self.draw.choice(((), (), ("email",), ("phone",), ("name", "phone"), ("phone", "nickname")))
        return {field: getattr(self, field)() for field in fields}

    def respelled(self, field: str, text: str) -> str:
        """Another spelling of the same text; as it was, where the other one would be somebody else."""
        spelling = self.phone_spelling(text) if field == "phone" else self.draw.choice(SPELLINGS)(text)
        return spelling if normal(field, spelling) == normal(field, text) else text

    def phone_spelling(self, text: str) -> str:
        country, _, rest = text.removeprefix("+").partition(" ")
        style = self.draw.choice(invented.PHONE_STYLES)
        separator = self.draw.choice((" ", "", "-", ".", "/"))
        rest = separator.join(rest.split())
        return style.format(country, rest.replace(separator, ") ", 1) if "(" in style and separator else rest)

    def metadata(self, channel: str, at: datetime) -> dict[str, Any]:
        draw = self.draw
        extras: dict[str, Any] = {
            "plan": draw.choice(("free", "pro", "team")),
            "app.version": f"{draw.randrange(1, 5)}.{draw.randrange(10)}",
            "$referrer": f"https://www.example.com/?q={draw.randrange(100)}",
            "utm": {"source": draw.choice(("news", "fair")), "campaign": {"id": draw.randrange(50)}},
            "tags": draw.choice((["beta"], ["news", "beta"], [], ["größe", 7, None])),
            "consent": {"mail": draw.random() < 0.5, "at": f"{at:%Y-%m-%d}"},
            "score": draw.randrange(100) / 4,
            "size.eu": {"$set": {"größe": draw.choice(("S", "M", "L"))}},
        }
        chosen = draw.sample(sorted(extras), draw.randrange(3))
        return {"channel": channel} | {key: extras[key] for key in chosen}


def full_width(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    str,
    str.upper,
    str.lower,
    str.swapcase,
    full_width,
    lambda text: f"  {text} ",
    lambda text: text.replace(" ", "   "),
    lambda text: text.replace(" ", "\u3000") + "\u00a0",
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: unicodedata.normalize("NFKC", text),
)


def events(seed: int = SEED, people: int = PEOPLE, count: int = EVENTS) -> Iterator[dict[str, Any]]:
    """The log: everyone signs up at least once, the rest are returns, a few people returning very often."""
    invention = Invention(seed)
    crowd = invention.people(people)
    eager = [invention.draw.expovariate(1) for _ in crowd]
    visits = [*crowd, *invention.draw.choices(crowd, eager, k=count - people)]
    invention.draw.shuffle(visits)
    at = START
    for person in visits:
        at += timedelta(seconds=invention.draw.randrange(20, 3600))
        channel = invention.draw.choice(invented.CHANNELS)
        contact = invention.event_contact(person, channel, at)
        yield {"at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "channel": channel, "person": person.key, "contact": contact}


def log_text() -> str:
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events())


if __name__ == "__main__":
    TARGET.write_bytes(log_text().encode())
