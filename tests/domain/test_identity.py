"""Who is one person: the bytes of fingerprints for ever, and the normal forms behind them."""

import base64
import hashlib
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.domain import identity
from service.domain.contact import Draft
from service.domain.errors import NoIdentity
from tests.domain.strategies import bounded

ZOE = Draft(name="Zo\u00eb M\u00fcller", email="zoe@example.com", phone="0049 30 1234-5", nickname="Z\u00f6")


@pytest.mark.parametrize(
    ("account", "draft", "fingerprint"),
    [
        ("demo", Draft(name="Ann Lee"), "d1:usxckjenkwp2dlwhtaeqieldn7df4kocz3tklrj6jjxxwtalt6ba"),
        ("other", Draft(name="Ann Lee"), "d1:dcf562w2yxnaaeedr4dbme5cydllkd4q4jho4rvwtkeyblifl76q"),
        (
            "demo",
            Draft(name="Ann Lee", email="ann@example.com"),
            "d1:njzc4sdszdmnau3fr4l2zvt7kzodiyjxlupuyur55tli2uokausa",
        ),
        ("demo", ZOE, "d1:p5l5yglqfxwxpfhxlod3dplb76qlemdomzlkcg2sdvnljigjoy6q"),
        ("demo", Draft(phone="+49 30 12345"), "d1:bb4d7krw3x3fao6fxvnhkm7fc7tegftw4wffrx2p7x2ode2polpa"),
        ("demo", Draft(name="x"), "d1:uoykee2bdb52ji6f7iknsa3bpadkesygx3wrzp6rqno4bfodawpq"),
        ("demo", Draft(nickname="x"), "d1:qigtaxypcd5bk5fnk4jupobnqwkafcpjeotykxwf4pino53pgfta"),
    ],
)
def test_the_bytes_of_derived_fingerprints_never_change(account: str, draft: Draft, fingerprint: str) -> None:
    """The same four fields give the same fingerprint in every release, or people split into two."""
    assert identity.derived_fingerprint(account, draft) == fingerprint


def test_the_bytes_of_request_fingerprints_never_change() -> None:
    """A retry after an upgrade still meets the contact of the first call."""
    fingerprint = "q1:6qsbef6glwoibsprhxa7mqzq7luf4i5p6fkraqa2mtfoiygm5zqa"
    assert identity.request_fingerprint("demo", "signup-form-1841") == fingerprint


@pytest.mark.parametrize(
    ("draft", "hashed"),
    [
        (
            Draft(name="Ann Lee", email="ann@example.com"),
            b"account:4:demoname:7:ann leeemail:15:ann@example.comphone:0:nickname:0:",
        ),
        (
            ZOE,
            (
                b"account:4:demo"
                b"name:12:zo\xc3\xab m\xc3\xbcller"
                b"email:15:zoe@example.com"
                b"phone:10:+493012345"
                b"nickname:3:z\xc3\xb6"
            ),
        ),
    ],
)
def test_a_derived_fingerprint_is_a_hash_over_label_byte_length_and_value(
    draft: Draft, hashed: bytes
) -> None:
    """Anyone can compute it: `d1:` and base32 SHA-256 over the account and the four labelled values."""
    base32 = base64.b32encode(hashlib.sha256(hashed).digest()).decode().strip("=").lower()
    assert identity.derived_fingerprint("demo", draft) == "d1:" + base32


def test_a_request_fingerprint_is_a_hash_over_account_and_request_id() -> None:
    """The request id enters byte for byte, with its length in bytes."""
    hashed = b"account:4:demorequest_id:3:\xc3\x89x"
    base32 = base64.b32encode(hashlib.sha256(hashed).digest()).decode().strip("=").lower()
    assert identity.request_fingerprint("demo", "\u00c9x") == "q1:" + base32


def test_a_random_fingerprint_is_the_randomness_in_base32() -> None:
    """Each byte becomes one of 32 characters, each of them as often as any other."""
    assert identity.random_fingerprint(bytes(32)) == "r1:" + "a" * 32
    assert identity.random_fingerprint(b"\xff" * 32) == "r1:" + "7" * 32
    assert sorted(identity.random_fingerprint(bytes(range(256)))[3:]) == sorted(
        "abcdefghijklmnopqrstuvwxyz234567" * 8
    )


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Ann", "ann"),
        ("  Ann \t", "ann"),
        ("Stra\u00dfe", "strasse"),
        ("STRA\u1e9eE", "strasse"),
        ("\u0130pek", "i\u0307pek"),
        ("\u0131pek", "\u0131pek"),
        ("\uff21\uff4e\uff4e", "ann"),
        ("\ufb01nn", "finn"),
        ("\U0001d400nn", "ann"),
        ("Ann\u2122", "anntm"),
        ("Rene\u0301", "ren\u00e9"),
        ("Ren\u00e9", "ren\u00e9"),
        ("\u03a3\u0391\u03a3", "\u03c3\u03b1\u03c3"),
        ("\u03c3\u03b1\u03c2", "\u03c3\u03b1\u03c3"),
        ("\u212aim", "kim"),
        ("\u00a0Ann\u3000", "ann"),
        ("ann  lee", "ann  lee"),
        ("a\u00a0b", "a b"),
        ("\u0390", "\u0390"),
        ("\u1fb3", "\u03b1\u03b9"),
        ("a\u0323\u0307", "\u1ea1\u0307"),
        ("a\u0307\u0323", "\u1ea1\u0307"),
        ("zero\u200bwidth", "zero\u200bwidth"),
        (" \t\u00a0\u3000", ""),
    ],
)
def test_texts_are_compared_without_case_width_and_composition(text: str, normal: str) -> None:
    """Spellings that people take for the same text have one normal form."""
    assert identity.normal_text(text) == normal


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("Ann  Lee", "ann lee"),
        (" Ann \u00a0\u3000 Lee ", "ann lee"),
        ("Ann\tLee", "ann lee"),
        ("AnnLee", "annlee"),
        ("Ann-Lee", "ann-lee"),
        ("  ", ""),
    ],
)
def test_inner_spaces_of_a_name_count_as_one(name: str, normal: str) -> None:
    """However the words of a name are spaced, it is one name."""
    assert identity.normal_name(name) == normal


@pytest.mark.parametrize(
    ("phone", "normal"),
    [
        ("+49 30 1234-5", "+493012345"),
        ("+49 (30) 12.34/5_6\t7", "+49301234567"),
        ("0049 30 12345", "+493012345"),
        (" 0 0-49 30", "+4930"),
        ("(00)49", "+49"),
        ("030 12345", "03012345"),
        ("000", "+0"),
        ("+0049", "+0049"),
        ("\uff0b\uff14\uff19\u00a030", "+4930"),
        ("\uff10\uff1049", "+49"),
        ("30\uff0d12", "3012"),
        ("Ext. 12", "ext12"),
        ("1,2", "1,2"),
        ("-._()/ \t", ""),
    ],
)
def test_phones_are_compared_without_noise(phone: str, normal: str) -> None:
    """Spaces and signs in a number do not count, and a leading 00 is a plus."""
    assert identity.normal_phone(phone) == normal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Draft(name="Ann  LEE "), Draft(name="\uff21nn lee")),
        (Draft(email="Ann@Example.com"), Draft(email=" ann@example.COM")),
        (Draft(phone="0049 30 1"), Draft(phone="+49301")),
        (Draft(nickname="Stra\u00dfe"), Draft(nickname="STRASSE")),
        (Draft(name="ann", phone="-._()/ \t"), Draft(name="ann")),
        (Draft(name="ann", email=" \u00a0"), Draft(name="ann")),
        (Draft(name="ann", description="tall", preferences="tea", metadata={"a": 1}), Draft(name="ann")),
    ],
)
def test_other_spellings_and_other_fields_are_the_same_person(one: Draft, other: Draft) -> None:
    """Only the normal forms of name, email, phone and nickname tell who somebody is."""
    assert identity.derived_fingerprint("demo", one) == identity.derived_fingerprint("demo", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Draft(name="x"), Draft(nickname="x")),
        (Draft(name="x"), Draft(email="x")),
        (Draft(email="1"), Draft(phone="1")),
        (Draft(name="x", nickname="y"), Draft(name="y", nickname="x")),
        (Draft(name="x", email="y"), Draft(name="x")),
        (Draft(name="xy"), Draft(name="x", email="y")),
        (Draft(name="xemail:1:y"), Draft(name="x", email="y")),
        (Draft(nickname="a  b"), Draft(nickname="a b")),
        (Draft(name="\u0131"), Draft(name="i")),
    ],
)
def test_other_values_or_labels_are_another_person(one: Draft, other: Draft) -> None:
    """A value counts under its own label only, and no value can imitate the border of another."""
    assert identity.derived_fingerprint("demo", one) != identity.derived_fingerprint("demo", other)


def test_accounts_never_share_a_fingerprint_of_the_service() -> None:
    """The same person, or the same request id, has another fingerprint in another account."""
    draft = Draft(name="Ann Lee", email="ann@example.com")
    assert identity.derived_fingerprint("a", draft) != identity.derived_fingerprint("b", draft)
    assert identity.request_fingerprint("a", "1") != identity.request_fingerprint("b", "1")


def test_a_request_id_is_taken_byte_for_byte() -> None:
    """Request ids are no names: case and spaces count."""
    assert identity.request_fingerprint("demo", "A") != identity.request_fingerprint("demo", "a")
    assert identity.request_fingerprint("demo", "a ") != identity.request_fingerprint("demo", "a")


@pytest.mark.parametrize(
    "draft",
    [
        Draft(),
        Draft(name=" \u00a0"),
        Draft(phone="-._()/ \t"),
        Draft(description="tall", preferences="tea", metadata={"a": 1}),
        Draft(fingerprint="user:1"),
    ],
)
def test_nobody_is_known_by_nothing(draft: Draft) -> None:
    """Without anything left of name, email, phone and nickname no fingerprint can be derived."""
    with pytest.raises(NoIdentity) as caught:
        identity.derived_fingerprint("demo", draft)
    assert [violation.field for violation in caught.value.violations] == ["contact"]


@pytest.mark.parametrize("text", ["d1:", "d1:abc", "r1:abc", "q1:abc", "d0:", "q12345678901234567890:x"])
def test_prefixes_of_the_service_are_reserved(text: str) -> None:
    """No caller may supply what looks like a fingerprint of the service, of this or a later version."""
    assert identity.is_reserved(text)


@pytest.mark.parametrize(
    "text", ["", "d1", "d:", "D1:", "x1:", "e1:a", " d1:", "ad1:", "d1 :", "d\u0661:", "user:d1:"]
)
def test_other_prefixes_are_free(text: str) -> None:
    """What only resembles a reserved prefix is a caller's to use."""
    assert not identity.is_reserved(text)


@pytest.mark.parametrize(
    "fingerprint",
    [
        identity.derived_fingerprint("demo", Draft(name="x")),
        identity.request_fingerprint("demo", "x"),
        identity.random_fingerprint(bytes(32)),
    ],
)
def test_every_fingerprint_of_the_service_is_reserved(fingerprint: str) -> None:
    """A caller can never claim a contact that the service made, by sending its fingerprint."""
    assert identity.is_reserved(fingerprint)


@bounded
@given(st.text(st.characters(max_codepoint=0x7F)))
def test_the_normal_form_of_ascii_follows_the_same_steps(text: str) -> None:
    """A shorter way to the same text."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    assert identity.normal_text(text) == unicodedata.normalize("NFKC", folded).strip()


@bounded
@given(st.text(st.characters(codec="utf-8") | st.characters(categories=["Mn", "Lu", "Lt", "Zs"])))
def test_a_normal_text_is_its_own_normal_form(text: str) -> None:
    """Normalising twice is normalising once, for texts and for names."""
    assert identity.normal_text(identity.normal_text(text)) == identity.normal_text(text)
    assert identity.normal_name(identity.normal_name(text)) == identity.normal_name(text)


@bounded
@given(st.text("0123456789+-._()/ \tABxy\u00a0\u3000\uff0b\uff10\uff19\uff0d\uff08\u2460"))
def test_a_normal_phone_is_its_own_normal_form(phone: str) -> None:
    """Normalising a number twice is normalising it once, for all that is written in numbers."""
    assert identity.normal_phone(identity.normal_phone(phone)) == identity.normal_phone(phone)


_values = st.sampled_from(["", "x", "y", "xy", "1:x", "email:1:x", "\u00eb"])
_drafts = st.builds(Draft, name=_values, email=_values, phone=_values, nickname=_values)


@bounded
@given(_drafts, _drafts)
def test_fingerprints_are_equal_exactly_when_the_normal_values_are(one: Draft, other: Draft) -> None:
    """No two different sets of the four values share a derived fingerprint."""
    assume(one != Draft() and other != Draft())
    alike = identity.derived_fingerprint("demo", one) == identity.derived_fingerprint("demo", other)
    assert alike == (one == other)


@bounded
@given(_drafts, st.text(max_size=5))
def test_what_a_person_is_called_besides_does_not_matter(draft: Draft, text: str) -> None:
    """Description, preferences and a fingerprint that was sent leave the derived one as it is."""
    assume(draft != Draft())
    more = replace(draft, description=text, preferences=text, fingerprint=text)
    assert identity.derived_fingerprint("demo", more) == identity.derived_fingerprint("demo", draft)
