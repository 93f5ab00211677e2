"""What a caller may send: every limit at its edge and one beyond, every character that is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import validation
from service.domain.contact import Draft
from service.domain.errors import InvalidField, MetadataInvalid
from tests.domain.strategies import bounded

TEXTS = ("name", "description", "email", "phone", "nickname", "preferences")
ONE_LINE = ("fingerprint", "name", "email", "phone", "nickname")
LINES = ("description", "preferences")
CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
LINE_CONTROLS = ["\t", "\n", "\r"]


def draft_of(**texts: str) -> Draft:
    return replace(Draft(), **texts)


def broken_fields(draft: Draft) -> list[str]:
    """The fields of the violations; no violation is no field."""
    try:
        validation.checked_draft(draft)
    except InvalidField as error:
        return [violation.field for violation in error.violations]
    return []


@pytest.mark.parametrize(
    ("field", "longest"),
    [
        ("name", "x" * 256),
        ("name", "\U0001f600" * 256),
        ("nickname", "x" * 128),
        ("nickname", "\U0001f600" * 128),
        ("email", "x" * 254),
        ("email", "\u00e9" * 254),
        ("phone", "1" * 32),
        ("phone", "\uff11" * 32),
        ("description", "x" * 4096),
        ("description", "\u00e9" * 2048),
        ("preferences", "x" * 32768),
        ("preferences", "\U0001f600" * 8192),
        ("fingerprint", "x" * 512),
        ("fingerprint", "\u00e9" * 256),
    ],
)
def test_a_text_may_reach_its_limit_and_not_pass_it(field: str, longest: str) -> None:
    """The longest text is taken as it is; with one more character the field is refused."""
    fitting = draft_of(**{field: longest})
    assert validation.checked_draft(fitting) == fitting
    assert broken_fields(draft_of(**{field: longest + "x"})) == [f"contact.{field}"]


@pytest.mark.parametrize("field", ["name", "nickname", "email", "phone", "description", "preferences"])
def test_an_update_is_held_to_the_same_limits(field: str) -> None:
    """A text that no new contact may have cannot come in by an update."""
    with pytest.raises(InvalidField):
        validation.checked_patch(draft_of(**{field: "x" * 32769}))
    with pytest.raises(InvalidField):
        validation.checked_patch(draft_of(**{field: "a\x00b"}))


@pytest.mark.parametrize("field", ONE_LINE)
@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: f"{ord(control):02x}")
def test_a_line_takes_no_control_characters(field: str, control: str) -> None:
    """Each of C0, DEL and C1 is refused in the texts of one line, fingerprints included."""
    assert set(broken_fields(draft_of(**{field: f"a{control}b"}))) == {f"contact.{field}"}


@pytest.mark.parametrize("field", LINES)
@pytest.mark.parametrize(
    "control",
    [each for each in CONTROLS if each not in LINE_CONTROLS],
    ids=lambda control: f"{ord(control):02x}",
)
def test_free_text_takes_no_other_control_characters(field: str, control: str) -> None:
    """Description and preferences refuse each control character but three."""
    assert broken_fields(draft_of(**{field: f"a{control}b"})) == [f"contact.{field}"]


@pytest.mark.parametrize("field", LINES)
@pytest.mark.parametrize("control", LINE_CONTROLS, ids=["tab", "LF", "CR"])
def test_free_text_may_have_lines(field: str, control: str) -> None:
    """Tab, LF and CR are allowed in description and preferences."""
    assert broken_fields(draft_of(**{field: f"a{control}b{control}"})) == []


@pytest.mark.parametrize("field", [*TEXTS, "fingerprint"])
@pytest.mark.parametrize(
    "character", [" ", "~", "\u00a0", "\u00ad", "\u200b", "\u2028", "\ufeff", "\U0010ffff"]
)
def test_characters_beside_the_controls_are_text(field: str, character: str) -> None:
    """What stands next to the control characters, or is only rare, is taken."""
    assert broken_fields(draft_of(**{field: f"a{character}b"})) == []


@pytest.mark.parametrize("email", ["not an address", "@", "a@b@c"])
def test_syntax_of_email_and_phone_is_not_checked(email: str) -> None:
    """Any text is taken for an address or a number: what exists out there is stranger than a rule."""
    assert broken_fields(draft_of(email=email, phone="ask reception")) == []


@pytest.mark.parametrize(
    "fingerprint",
    ["x", "user:1", "D1:x", "d1", "x d1:", "a b", "\u00e9", "e1:x", "d1\u00a0:x", "google-oauth2|1"],
)
def test_a_caller_may_choose_most_fingerprints(fingerprint: str) -> None:
    """A fingerprint is the caller's own text, and is returned as it was."""
    assert validation.checked_fingerprint(fingerprint) == fingerprint
    assert validation.checked_draft(draft_of(fingerprint=fingerprint)).fingerprint == fingerprint


@pytest.mark.parametrize(
    "fingerprint",
    ["d1:x", "r1:x", "q1:x", "d99:", " x", "x ", "\u00a0x", "x\u3000", " ", "x\n", "a\x7fb", "x" * 513],
)
def test_a_caller_may_not_choose_these_fingerprints(fingerprint: str) -> None:
    """Reserved beginnings, spaces at the edges, control characters and more than 512 bytes are refused."""
    with pytest.raises(InvalidField) as caught:
        validation.checked_fingerprint(fingerprint)
    assert {violation.field for violation in caught.value.violations} == {"contact.fingerprint"}
    assert set(broken_fields(draft_of(fingerprint=fingerprint))) == {"contact.fingerprint"}


def test_the_fingerprint_of_an_update_is_checked_only_when_it_changes() -> None:
    """A derived fingerprint may be sent back: whether it is another one is known after the read."""
    patch = draft_of(fingerprint="d1:x")
    assert validation.checked_patch(patch) == patch


@pytest.mark.parametrize("request_id", ["", "x", "x" * 128, "\U0001f600" * 128, " x "])
def test_a_request_id_has_at_most_128_characters(request_id: str) -> None:
    """A request id of up to 128 characters is taken as it is; an empty one is an absent one."""
    assert validation.checked_request_id(request_id) == request_id


@pytest.mark.parametrize("request_id", ["x" * 129, "a\nb", "a\x00", "\x9f"])
def test_a_request_id_beyond_its_rules_is_refused(request_id: str) -> None:
    """A longer one, or one with control characters, names the field that is broken."""
    with pytest.raises(InvalidField) as caught:
        validation.checked_request_id(request_id)
    assert [violation.field for violation in caught.value.violations] == ["request_id"]


def test_all_broken_rules_are_told_at_once() -> None:
    """A caller mends a request once: each broken rule of each field is one violation."""
    draft = draft_of(
        fingerprint="d1:" + "x" * 512 + " ",
        name="x\n" * 200,
        description="\x00",
        email="x" * 255,
        phone="1" * 33,
        nickname="\x7f",
        preferences="x" * 32769,
    )
    assert sorted(broken_fields(draft)) == sorted(
        ["contact.fingerprint"] * 3
        + ["contact.name"] * 2
        + [f"contact.{name}" for name in ("description", "email", "phone", "nickname", "preferences")]
    )


CANARY = "canary"


@pytest.mark.parametrize(
    "draft",
    [
        *(draft_of(**{field: CANARY * 6000}) for field in (*TEXTS, "fingerprint")),
        *(draft_of(**{field: f"{CANARY}\x00"}) for field in (*TEXTS, "fingerprint")),
        draft_of(fingerprint=f"d1:{CANARY}"),
        draft_of(fingerprint=f" {CANARY}"),
    ],
)
def test_an_error_never_tells_the_value(draft: Draft) -> None:
    """Values are personal data: no message, violation or fact of an error holds any part of one."""
    with pytest.raises(InvalidField) as caught:
        validation.checked_draft(draft)
    error = caught.value
    assert CANARY not in repr((str(error), error.message, error.violations, error.metadata, error.args))


def test_an_error_about_a_request_id_never_tells_it() -> None:
    """A request id may be personal too."""
    with pytest.raises(InvalidField) as caught:
        validation.checked_request_id(f"{CANARY}\x00" * 100)
    assert CANARY not in repr((str(caught.value), caught.value.violations))


def test_a_draft_without_anything_is_fine() -> None:
    """Nothing is required of a new contact, and absent metadata stays absent."""
    assert validation.checked_draft(Draft()) == Draft()


def test_broken_metadata_has_a_reason_of_its_own() -> None:
    """A draft whose texts are fine and whose metadata is not is METADATA_INVALID."""
    with pytest.raises(MetadataInvalid):
        validation.checked_draft(Draft(name="Ann", metadata={"": 1}))
    with pytest.raises(MetadataInvalid):
        validation.checked_patch(Draft(name="Ann", metadata={"": 1}))


def test_a_patch_keeps_the_nulls_that_delete() -> None:
    """The metadata of an update keeps its null members, a new contact's does not."""
    assert validation.checked_patch(Draft(metadata={"a": None, "b": 1.0})).metadata == {"a": None, "b": 1}
    assert validation.checked_draft(Draft(metadata={"a": None, "b": 1.0})).metadata == {"b": 1}


@bounded
@given(st.sampled_from(TEXTS), st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=32))
def test_what_is_taken_is_taken_as_it_was_sent(field: str, text: str) -> None:
    """Stored text is the sent text: nothing is trimmed, folded or normalised."""
    draft = draft_of(**{field: text})
    assert validation.checked_draft(draft) == draft
    assert validation.checked_patch(draft) == draft
