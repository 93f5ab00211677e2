"""From the bytes of a contact to its draft: the compiled part reads it as Python does, or leaves it alone."""

import random
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from contactservice.v1 import contact_service_pb2
from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.contact_service_pb2 import CreateContactRequest
from service.domain import limits
from service.domain.contact import TEXT_FIELDS, Draft
from service.native import compiled
from service.rpc import messages, requests
from service.rpc.call import Method
from tests.domain import hostile, strategies
from tests.domain.strategies import bounded
from tests.rpc.drafts import check_not_other, check_same, exact, in_python, natively, struct

pytestmark = pytest.mark.skipif(not compiled, reason="the compiled part is not built")

# All planes; the signs that some rule is about come up often.
signs = st.characters(codec="utf-8") | st.sampled_from("\x00\t\n\r\x1f \x7f\x80\x9f\xa0\u2028\u3000dqr1:")
texts = st.text(signs, max_size=12) | st.sampled_from(
    ["r1:x", "d12:", "q:1", "r", "d1", "x" * 600, "ß" * 260]
)


def field(number: int, content: bytes) -> bytes:
    """A delimited field of less than 128 bytes, as it stands in a message."""
    return bytes((number << 3 | 2, len(content))) + content


@bounded
@given(
    st.dictionaries(st.sampled_from(("fingerprint", *TEXT_FIELDS)), texts),
    st.none() | strategies.patches,
    st.none() | st.tuples(st.integers(-(2**36), 2**38), st.integers(-2, 10**9 + 1)),
)
def test_any_contact_becomes_the_same_draft(
    fields: dict[str, str], metadata: dict[str, Any] | None, moment: tuple[int, int] | None
) -> None:
    """Whatever stands in its fields."""
    message = Contact(**fields)
    if metadata is not None:
        message.metadata.CopyFrom(struct(metadata))
    if moment:
        message.verified_at.CopyFrom(Timestamp(seconds=moment[0], nanos=moment[1]))
    check_not_other(message)


def test_hostile_contacts_become_the_same_drafts() -> None:
    """The texts and values that readers stumble over, in every field that takes them."""
    for contact in hostile.contacts(2000):
        message = messages.contact(contact)
        for name in ("id", "trusted", "created_at", "updated_at", "etag"):
            message.ClearField(name)
        check_not_other(message)
        message.fingerprint = ""
        (check_same if in_python(message) else check_not_other)(message)


@pytest.mark.parametrize("name", ["fingerprint", *TEXT_FIELDS])
def test_each_sign_in_each_field(name: str) -> None:
    """Alone, at the edges and inside."""
    for sign in map(chr, (*range(0x180), 0x1680, 0x2003, 0x2028, 0x3000, 0xFEFF, 0xD7FF, 0xE000, 0x10FFFF)):
        for text in (sign, f"a{sign}", f"{sign}a", f"a{sign}a", f"d{sign}:", f"{sign}1:", f"d1{sign}"):
            check_not_other(Contact(**{name: text}))


@pytest.mark.parametrize("limit", [31, 32, 33, 127, 128, 129, 253, 254, 255, 256, 257, 511, 512, 513])
@pytest.mark.parametrize("sign", ["x", "ß", "€", "😀"])
def test_lengths_around_the_limits(limit: int, sign: str) -> None:
    """Counted in characters or in bytes, as the rules say."""
    for name in ("fingerprint", *TEXT_FIELDS):
        check_not_other(Contact(**{name: sign * limit}))


@pytest.mark.parametrize("limit", [limits.DESCRIPTION_BYTES, limits.PREFERENCES_BYTES])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_lengths_of_long_texts(limit: int, more: int) -> None:
    """Bytes of UTF-8, where the limit is in KiB."""
    for text in ("x" * (limit + more), "ß" * ((limit + more) // 2), "ß" * (limit // 2) + "x" * max(more, 0)):
        check_not_other(Contact(description=text))
        check_not_other(Contact(preferences=text))
    check_same(
        Contact(description="x" * limits.DESCRIPTION_BYTES, preferences="x" * limits.PREFERENCES_BYTES)
    )


@pytest.mark.parametrize(
    "moment",
    [
        Timestamp(),
        Timestamp(seconds=1, nanos=999_999_999),
        Timestamp(seconds=-1, nanos=1_000_000),
        Timestamp(seconds=-62_135_596_800),
        Timestamp(seconds=253_402_300_799, nanos=999_999_999),
    ],
    ids=str,
)
def test_times_of_the_calendar_are_read(moment: Timestamp) -> None:
    """Cut to milliseconds, also before 1970."""
    check_same(Contact(verified_at=moment))


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (0, -1),
        (0, 10**9),
        (-62_135_596_801, 0),
        (-62_135_596_801, 999_999_999),
        (253_402_300_800, 0),
        (2**63 - 1, 0),
        (-(2**63), 999_999_999),
        (2**63 // 1000, 2**31 - 1),
    ],
)
def test_other_times_are_left_to_python(seconds: int, nanos: int) -> None:
    """Python then says that they are none."""
    message = Contact(verified_at=Timestamp(seconds=seconds, nanos=nanos))
    assert in_python(message) is None
    assert natively(message.SerializeToString()) is None


A_ONE = field(1, b"a") + field(2, b"\x11" + bytes(6) + b"\xf0\x3f")


@pytest.mark.parametrize(
    "raw",
    [
        field(4, b"Ann") * 2,
        field(4, b"Ann") + field(4, b"Bo"),
        field(10, b"") * 2,
        field(10, field(1, A_ONE)) + field(10, field(1, field(1, b"b") + field(2, b""))),
        field(11, b"\x08\x01") + field(11, b"\x10\x01"),
        field(10, field(1, A_ONE) * 2),
        field(10, field(1, A_ONE) + field(1, field(1, b"a") + field(2, b"\x08\x00"))),
        field(10, field(1, field(1, b"a") + field(2, b"\x08\x00")) + field(1, A_ONE)),
        field(10, field(1, field(2, b"\x20\x01") + field(1, b"a"))),
        field(10, field(1, field(1, b"a"))),
        field(10, field(1, field(2, b"\x20\x01"))),
        field(10, field(1, b"")),
        field(10, field(1, field(1, b"a") + field(2, b"\x20\x02"))),
        field(10, field(1, field(1, b"a") + field(2, b"\x20\x01\x08\x00"))),
        field(10, field(1, field(1, b"a") + field(2, b"\x3a\x00"))),
        field(10, field(2, b"")),
        field(1, b"ct_1") + b"\x18\x01" + field(12, b"") + field(13, b"") + field(14, b"1"),
        field(15, b"later"),
        b"\x20\x01" + field(4, b"Ann"),
        b"\xfa\x07\x01x",
        b"\x22\x83\x80\x00Ann",
        b"\xa2\x80\x00\x03Ann",
        b"\xa2\x80\x80\x80\x80\x00\x03Ann",
        b"\x22\x83\x80\x80\x80\x80\x00Ann",
        b"\x22\x83\x80\x80\x80\x00Ann",
        field(10, field(1, field(1, b"a") + b"\x92\x80\x80\x80\x80\x00\x02\x20\x01")),
        b"\x5a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x5a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x03",
        field(11, b"\x10\x80\x80\x80\x80\x10"),
        field(11, b"\x08\x01\x08\x02"),
        field(4, b"\xff"),
        field(4, b"\xed\xa0\x80"),
        field(10, field(1, field(1, b"\xc0\x80") + field(2, b"\x20\x01"))),
        field(4, b"Ann")[:-1],
        b"\x22",
        b"\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x23\x24",
        b"\x00",
        b"\x80" * 11,
    ],
    ids=lambda raw: raw.hex()[:40],
)
def test_odd_bytes_are_not_read_otherwise(raw: bytes) -> None:
    """Fields twice, in another order, of a later version, cut off: as protobuf reads them, or not at all."""
    check_bytes(raw)


@settings(max_examples=3000, deadline=None)
@given(st.sampled_from(hostile.contacts(40)), st.data())
def test_broken_bytes_are_not_read_otherwise(contact: Any, draw: st.DataObject) -> None:
    """Any bytes of a message may be wrong, any part of it may stand twice."""
    message = messages.contact(contact)
    for name in ("id", "trusted", "created_at", "updated_at", "etag", "fingerprint"):
        message.ClearField(name)
    raw = bytearray(message.SerializeToString())
    for _ in range(draw.draw(st.integers(0, 3))):
        raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(st.integers(0, 255))
    first, last = sorted(draw.draw(st.integers(0, len(raw))) for _ in range(2))
    check_bytes(bytes(raw[:first] + raw[first:last] * draw.draw(st.integers(0, 2)) + raw[last:]))


def test_noise_is_not_read_otherwise() -> None:
    """Short bytes without any plan reach corners that changed messages do not."""
    pick = random.Random(6)  # noqa: S311 (nothing secret)
    likely = [0, 1, 2, 3, 8, 9, 10, 16, 17, 18, 26, 32, 34, 42, 50, 74, 82, 90, 97, 128, 255]
    for _ in range(50_000):
        check_bytes(bytes(pick.choices(likely, k=pick.randint(1, 14))))


def check_bytes(raw: bytes) -> None:
    """What is not a message is not read; a message is read as Python reads it, or not at all."""
    ours = natively(raw)
    try:
        message = Contact.FromString(raw)
    except DecodeError:
        assert ours is None
        return
    assert ours is None or exact(ours) == exact(in_python(message))
    check_not_other(message)


PERSON = CreateContactRequest(contact=Contact(name="Ann"), request_id="r-1")


@pytest.mark.parametrize(
    ("raw", "request_id"),
    [
        (PERSON.SerializeToString(), "r-1"),
        (field(2, "é".encode()) + field(1, b""), "é"),
        (field(1, b""), ""),
        (field(1, b"") + field(2, b""), ""),
        (field(1, b"") + field(2, b"x" * 127), "x" * 127),
    ],
)
def test_the_request_id_stands_beside_the_contact(raw: bytes, request_id: str) -> None:
    """Before it or behind it; whether it breaks a rule is not asked here."""
    read = requests.new_contact(raw)
    assert read is not None
    assert read.request_id == request_id == CreateContactRequest.FromString(raw).request_id


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        field(2, b"r"),
        field(1, b"") * 2,
        field(1, b"") + field(2, b"r") * 2,
        field(1, b"") + field(3, b"later"),
        field(1, b"") + b"\x10\x01",
        field(1, b"") + field(2, b"\xff"),
        PERSON.SerializeToString()[:-1],
    ],
    ids=lambda raw: raw.hex(),
)
def test_an_odd_request_is_left_to_protobuf(raw: bytes) -> None:
    """No contact, something twice, of a later version or cut off."""
    assert requests.new_contact(raw) is None


@pytest.mark.parametrize("name", ["CreateContact", "EnsureContact"])
def test_calls_take_the_shortcut(name: str) -> None:
    """What the servicer gets is what the compiled part read; the message, where it read nothing."""
    method = Method(contact_service_pb2.DESCRIPTOR.services_by_name["ContactService"].methods_by_name[name])
    assert method.parsed(field(1, field(4, b"Ann"))) == (Draft(name="Ann"), "")
    assert method.parsed(field(1, field(4, b"\n"))).contact == Contact(name="\n")


def test_what_is_no_bytes_is_an_error() -> None:
    """A mistake in a call shows at once."""
    with pytest.raises(TypeError):
        compiled.new_contact("text")  # type: ignore[arg-type]
