"""The file of --linked: what it may say, and the sentence that names table and key when it is wrong."""

import re

import pytest

from service.domain.links import Action, Link, LinksInvalid, parsed

OWN = ("contacts", "deletions")
GOOD = {"collection": "notes", "account_field": "account", "contact_field": "contact", "action": "CASCADE"}


def table(**changes: object) -> str:
    """A [[linked]] table; a key that is changed to None is left out."""
    keys = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return "[[linked]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())


def _toml(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


def test_tables_are_read_in_the_order_of_the_file() -> None:
    """The order of the file is the order of the work; fields may be dotted, a collection may come twice."""
    text = "\n".join(
        [
            "# children before parents",
            table(collection="messages", account_field="owner.account", contact_field="people.contact"),
            table(collection="messages", contact_field="sender", action="UNLINK"),
            table(collection="invoices.open", contact_field="_id", action="RESTRICT"),
        ]
    )
    assert parsed(text, OWN) == (
        Link("messages", "owner.account", "people.contact", Action.CASCADE),
        Link("messages", "account", "sender", Action.UNLINK),
        Link("invoices.open", "account", "_id", Action.RESTRICT),
    )


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"collection": None}, "collection"),
        ({"account_field": None}, "account_field"),
        ({"contact_field": None}, "contact_field"),
        ({"action": None}, "action"),
        ({"colection": "notes"}, "colection"),
        ({"collection": 7}, "collection"),
        ({"action": True}, "action"),
        ({"action": "cascade"}, "action"),
        ({"action": "DELETE"}, "action"),
        ({"collection": ""}, "collection"),
        ({"collection": "contacts"}, "collection"),
        ({"collection": "deletions"}, "collection"),
        ({"collection": "system.users"}, "collection"),
        ({"collection": "a$b"}, "collection"),
        ({"collection": "notes."}, "collection"),
        ({"account_field": ""}, "account_field"),
        ({"account_field": "$where"}, "account_field"),
        ({"contact_field": ""}, "contact_field"),
        ({"contact_field": "a..b"}, "contact_field"),
        ({"contact_field": "a.$b"}, "contact_field"),
        ({"contact_field": "a."}, "contact_field"),
        ({"contact_field": "people.0.contact"}, "contact_field"),
        ({"contact_field": "account"}, "contact_field"),
        ({"contact_field": "account.contact"}, "contact_field"),
        ({"account_field": "contact.account"}, "contact_field"),
        ({"contact_field": "_id", "action": "UNLINK"}, "contact_field"),
        ({"contact_field": "_id.contact", "action": "UNLINK"}, "contact_field"),
    ],
)
def test_a_wrong_table_is_named_with_its_key(changes: dict[str, object], key: str) -> None:
    """One sentence, with the number of the table and the key."""
    text = table(collection="first") + table(**changes)
    with pytest.raises(LinksInvalid, match=rf"^\[\[linked\]\] table 2, {re.escape(key)}: "):
        parsed(text, OWN)


def test_a_field_is_linked_once() -> None:
    """The same collection and contact field twice would be two rules for one row."""
    with pytest.raises(LinksInvalid, match=r"table 3, contact_field: .* as in table 1"):
        parsed(table() + table(collection="other") + table(action="UNLINK"), OWN)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"has no \[\[linked\]\] table"),
        ("linked = []", r"has no \[\[linked\]\] table"),
        ("[linked]\naction = 'CASCADE'", r"has no \[\[linked\]\] table"),
        ("[[link]]\naction = 'CASCADE'", "unknown key link"),
        ("linked = [7]", "expected a table"),
        ("[[linked]", "is no TOML"),
    ],
)
def test_a_file_that_is_no_list_of_tables_is_refused(text: str, says: str) -> None:
    """An empty file, another shape and a broken text each have their sentence."""
    with pytest.raises(LinksInvalid, match=says):
        parsed(text, OWN)
