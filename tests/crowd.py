"""A small crowd with everything that filters ask for, and random filters over it, as a caller writes them."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from service.domain import ids
from service.domain.contact import Contact

BIRTH = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = 300
STAMPS = [f"{BIRTH + timedelta(minutes=number * 25):%Y-%m-%dT%H:%M:%SZ}" for number in range(13)]
EMAILS = ("ann@example.com", "bob@example.com", "Ärmel@example.com")
PHONES = ("+49 30 1", "0049 30 1", "555")
KEYS = ("plan", "a.b", "$ne", "`", "deep", "list")
PATH_STEPS = ("plan", "`a.b`", "$ne", "````", "deep", "list")
SCALARS = ("pro", "1", 1, True, 0.5, "$ne", "")

scalars = st.sampled_from(SCALARS)
conditions = st.dictionaries(
    st.sampled_from(KEYS),
    scalars
    | st.lists(scalars, min_size=1, max_size=2)
    | st.dictionaries(st.sampled_from(KEYS), scalars, min_size=1, max_size=2),
    min_size=1,
    max_size=2,
)
paths = st.lists(st.sampled_from(PATH_STEPS), min_size=1, max_size=2).map(".".join)


def crowd(account: str) -> list[Contact]:
    """The same people at every call: all classes, shared emails and phones, hostile metadata."""
    dice = random.Random(account)  # noqa: S311 (a fixed seed)
    return [person(dice, account, number) for number in range(PEOPLE)]


def person(dice: random.Random, account: str, number: int) -> Contact:
    born = BIRTH + timedelta(minutes=number)
    contact_id = ids.lower_bound(account, int(born.timestamp() * 1000))
    values = [*SCALARS, ["pro", 1], ["$ne", None, {"x": 1}], {"plan": dice.choice(SCALARS)}, {}, []]
    return Contact(
        id=contact_id,
        fingerprint=f"person:{number}",
        trusted=dice.random() < 0.5,
        updated_at=born + timedelta(minutes=dice.randrange(60)),
        email=dice.choice(["", *EMAILS, EMAILS[0].upper()]),
        phone=dice.choice(["", *PHONES]),
        metadata={key: dice.choice(values) for key in dice.sample(KEYS, dice.randrange(len(KEYS)))},
        verified_at=born if dice.random() < 0.5 else None,
    )


def times(values: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(STAMPS) for name in values})


def lists(values: tuple[str, ...], most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most)


@st.composite
def filters(draw: st.DrawFn, account: str) -> dict[str, Any]:
    """A ContactFilter for json_format, of any combination of terms; about half of the fields are absent."""
    everybody = tuple(contact.id for contact in crowd(account)[::30])
    fingerprints = tuple(f"person:{number}" for number in range(40))
    terms = st.fixed_dictionaries(
        {},
        optional={
            "metadata": conditions,
            "metadata_exists": st.lists(paths, min_size=1, max_size=2),
            "emails": lists((*EMAILS, "ANN@example.com "), 2),
            "phones": lists(PHONES, 2),
            "fingerprints": lists(fingerprints, 5),
            "ids": lists((*everybody, "nonsense"), 4),
            "trusted": st.booleans(),
            "verified": st.booleans(),
        },
    )
    moments = times(("created_after", "created_before", "updated_after", "updated_before"))
    # All fields at once match nobody: mostly a few of them.
    chosen = draw(terms) | draw(moments)
    kept = draw(st.sets(st.sampled_from(sorted(chosen)), max_size=3)) if chosen else set()
    return {name: value for name, value in chosen.items() if name in kept}
