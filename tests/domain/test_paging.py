"""Tokens of pages and exports: only what was signed for this very request is taken."""

import base64
import hmac
import string
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import paging
from service.domain.errors import PageTokenInvalid, PageTokenMismatch
from service.domain.filters import ContactFilter, MetadataEquals, Selection
from service.domain.paging import ExportPosition, ListPosition, TokenSigner
from tests.domain.strategies import bounded

OLD, NEW = bytes(32), bytes(range(32))
SIGNER = TokenSigner([NEW])
BOUND = paging.binding("ListContacts", "demo")
LIST = ListPosition("ct_5ABN2V1N9DM801ARYZ6S41FZZZZZZZZZZZZZZZ")
EXPORT = ExportPosition(7 << 32 | 1, LIST.after, 300, 12_345, 200, file_closed=False)
LIST_TOKEN = SIGNER.sign(BOUND, LIST)
EXPORT_TOKEN = SIGNER.sign(BOUND, EXPORT)
CHARACTERS = string.printable + "\u00e9\u2028\x00"


def taken(tokens: Sequence[str], signer: TokenSigner = SIGNER) -> list[str]:
    """Those tokens that are not refused as broken."""
    return [token for token in tokens if not is_refused(token, signer)]


def is_refused(token: str, signer: TokenSigner) -> bool:
    try:
        signer.list_position(token, BOUND)
    except PageTokenInvalid:
        return True
    return False


u64 = st.integers(0, 2**64 - 1)
ends = st.text(st.characters(codec="utf-8"), max_size=50)


@bounded
@given(ends, ends)
def test_a_list_goes_on_where_it_was(after: str, bound_to: str) -> None:
    """A position comes back from its token as it was, whatever text it holds."""
    assert SIGNER.list_position(SIGNER.sign(bound_to, ListPosition(after)), bound_to) == ListPosition(after)


@bounded
@given(st.builds(ExportPosition, u64, ends, u64, u64, u64, st.booleans()))
def test_an_export_goes_on_where_it_was(position: ExportPosition) -> None:
    """Operation time, counts and the state of the file come back from the token as they were."""
    assert SIGNER.export_position(SIGNER.sign(BOUND, position), BOUND) == position


def test_tokens_are_plain_text_for_urls() -> None:
    """A token has letters, digits, minus and underscore only."""
    assert set(LIST_TOKEN + EXPORT_TOKEN) <= set(string.ascii_letters + string.digits + "-_")


def test_any_replica_signs_alike() -> None:
    """The same position has the same token everywhere: no state, no clock, no chance."""
    assert TokenSigner([NEW]).sign(BOUND, LIST) == LIST_TOKEN


@pytest.mark.parametrize("place", range(len(LIST_TOKEN)))
def test_a_token_with_one_other_character_is_refused(place: int) -> None:
    """Whatever stands in place of one character, the token is broken."""
    others = [each for each in CHARACTERS if each != LIST_TOKEN[place]]
    assert taken([LIST_TOKEN[:place] + each + LIST_TOKEN[place + 1 :] for each in others]) == []


@pytest.mark.parametrize("place", range(len(LIST_TOKEN) + 1))
def test_a_token_with_one_more_character_is_refused(place: int) -> None:
    """Whatever is put in, at the ends too, the token is broken."""
    assert taken([LIST_TOKEN[:place] + each + LIST_TOKEN[place:] for each in CHARACTERS]) == []


@pytest.mark.parametrize("length", range(len(LIST_TOKEN)))
def test_a_token_that_was_cut_is_refused(length: int) -> None:
    """No beginning and no end of a token is a token, the empty text neither."""
    assert taken([LIST_TOKEN[:length], LIST_TOKEN[len(LIST_TOKEN) - length :]]) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + "=",
        lambda token: token + "==",
        lambda token: token + "=" * (-len(token) % 4 or 4),
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token + " ",
        lambda token: token[:8] + "\r\n" + token[8:],
        lambda token: token + "\x00",
        lambda token: token + "AAAA",
        lambda token: token + token,
        lambda token: token.swapcase(),
        lambda token: f'"{token}"',
    ],
    ids=["=", "==", "padded", "LF", "front", "back", "CRLF", "NUL", "longer", "twice", "case", "quoted"],
)
@pytest.mark.parametrize("token", [SIGNER.sign(BOUND, ListPosition("x" * extra)) for extra in range(3)])
def test_another_writing_of_a_token_is_refused(change: Any, token: str) -> None:
    """A token is taken in its one writing: no padding, no spaces, nothing behind it."""
    assert SIGNER.list_position(token, BOUND)
    assert taken([change(token)]) == []


@pytest.mark.parametrize("extra", range(12))
def test_a_token_in_the_other_base64_alphabet_is_refused(extra: int) -> None:
    """Plus and slash are not taken for minus and underscore."""
    position = ListPosition("\u00ff\u00fe" * 8 + "?>" * extra)
    token = SIGNER.sign(BOUND, position)
    assert set(token) & set("-_")
    assert taken([token.replace("-", "+").replace("_", "/")]) == []


def test_unused_bits_of_the_last_character_are_refused() -> None:
    """Base64 has several writings of a last byte; only the one that was given out is taken."""
    token = next(each for each in signed_with_unused_bits() if len(each) % 4)
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    alike = [
        token[:-1] + last for last in alphabet if last != token[-1] and raw(token[:-1] + last) == raw(token)
    ]
    assert alike
    assert taken(alike) == []


def signed_with_unused_bits() -> list[str]:
    return [SIGNER.sign(BOUND, ListPosition("x" * extra)) for extra in range(3)]


def raw(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def test_a_token_of_another_version_is_refused() -> None:
    """What a later version signed with the same key is not read, nor a token whose version was changed."""
    later = b"\x02" + raw(LIST_TOKEN)[1:-16]
    for_later = base64.urlsafe_b64encode(later + hmac.digest(NEW, later, "sha256")[:16]).decode().rstrip("=")
    changed = base64.urlsafe_b64encode(later + raw(LIST_TOKEN)[-16:]).decode().rstrip("=")
    assert taken([for_later, changed]) == []


def test_a_signature_is_16_bytes_of_hmac_sha_256() -> None:
    """Every release signs and verifies alike: what is before the last 16 bytes, version included."""
    signed, signature = raw(LIST_TOKEN)[:-16], raw(LIST_TOKEN)[-16:]
    assert hmac.digest(NEW, signed, "sha256")[:16] == signature


@pytest.mark.parametrize("noise", [b"", b"\x01", b"\x01[]", bytes(16), b"\x01" + bytes(16), b"\x01" * 200])
def test_bytes_that_nobody_signed_are_refused(noise: bytes) -> None:
    """Short or long, what has no signature is broken and never read."""
    assert taken([base64.urlsafe_b64encode(noise).decode().rstrip("=")]) == []


@bounded
@given(st.text(max_size=200))
def test_any_other_text_is_refused(text: str) -> None:
    """No text that a caller makes up is a token, or anything but PAGE_TOKEN_INVALID."""
    assert taken([text]) == []


def test_a_broken_export_token_is_refused_by_its_field() -> None:
    """The error names the field of the request: page_token or resume_token."""
    with pytest.raises(PageTokenInvalid) as caught:
        SIGNER.export_position(EXPORT_TOKEN[:-1], BOUND)
    assert [violation.field for violation in caught.value.violations] == ["resume_token"]
    with pytest.raises(PageTokenInvalid) as caught:
        SIGNER.list_position(LIST_TOKEN[:-1], BOUND)
    assert [violation.field for violation in caught.value.violations] == ["page_token"]


def test_an_error_never_tells_the_token() -> None:
    """What was wrong with a token is not repeated: it may hold an id of another account."""
    with pytest.raises(PageTokenInvalid) as caught:
        SIGNER.list_position("canary", BOUND)
    assert "canary" not in repr((str(caught.value), caught.value.violations, caught.value.metadata))


def test_a_token_of_another_request_is_a_mismatch() -> None:
    """A good token that is bound to something else says so."""
    other = paging.binding("ListContacts", "other")
    with pytest.raises(PageTokenMismatch):
        SIGNER.list_position(LIST_TOKEN, other)
    with pytest.raises(PageTokenMismatch):
        SIGNER.export_position(EXPORT_TOKEN, other)


def test_a_token_of_another_purpose_is_a_mismatch() -> None:
    """A page token does not resume an export, nor the other way, even with the same binding."""
    with pytest.raises(PageTokenMismatch):
        SIGNER.export_position(LIST_TOKEN, BOUND)
    with pytest.raises(PageTokenMismatch):
        SIGNER.list_position(EXPORT_TOKEN, BOUND)


def test_the_second_key_still_verifies() -> None:
    """After a rotation the tokens that were signed before go on working."""
    before = TokenSigner([OLD]).sign(BOUND, LIST)
    assert TokenSigner([NEW, OLD]).list_position(before, BOUND) == LIST


def test_the_first_key_signs() -> None:
    """A rotated signer gives out tokens of the new key."""
    rotated = TokenSigner([NEW, OLD]).sign(BOUND, LIST)
    assert rotated == LIST_TOKEN
    assert taken([rotated], TokenSigner([OLD])) == []


def test_a_key_that_was_taken_away_no_longer_verifies() -> None:
    """Tokens of a key that is not given any more are broken."""
    assert taken([LIST_TOKEN], TokenSigner([OLD])) == []
    assert taken([LIST_TOKEN], TokenSigner([OLD, bytes(31) + b"\x01"])) == []


MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
SELECTION = Selection("demo", ContactFilter(), newest_first=True)


@pytest.mark.parametrize(
    "other",
    [
        replace(SELECTION, account="other"),
        replace(SELECTION, newest_first=False),
        *(
            replace(SELECTION, filter=ContactFilter(**terms))
            for terms in (
                {"metadata": (MetadataEquals(("a",), (1,)),)},
                {"metadata": (MetadataEquals(("a",), (1,), listed=True),)},
                {"metadata": (MetadataEquals(("a",), (True,)),)},
                {"metadata": (MetadataEquals(("a",), ("1",)),)},
                {"metadata": (MetadataEquals(("a", "b"), (1,)),)},
                {"metadata": (MetadataEquals(("a.b",), (1,)),)},
                {"metadata_exists": (("a",),)},
                {"emails": ("x",)},
                {"phones": ("x",)},
                {"fingerprints": ("x",)},
                {"ids": ()},
                {"ids": ("x",)},
                {"trusted": True},
                {"trusted": False},
                {"verified": True},
                {"verified": False},
                {"created_after": MOMENT},
                {"created_before": MOMENT},
                {"updated_after": MOMENT},
                {"updated_before": MOMENT},
            )
        ),
    ],
)
def test_each_part_of_a_selection_binds(other: Selection) -> None:
    """Account, order and every term of the filter are part of what a token belongs to."""
    assert paging.binding("ListContacts", other) != paging.binding("ListContacts", SELECTION)


def test_a_binding_is_over_the_whole_request() -> None:
    """RPC, format and options bind; equal requests are bound alike."""
    assert paging.binding("ListContacts", SELECTION) != paging.binding("ExportContacts", SELECTION)
    assert paging.binding("ExportContacts", SELECTION, 1) != paging.binding("ExportContacts", SELECTION, 2)
    assert paging.binding("x", SELECTION) == paging.binding("x", replace(SELECTION))
