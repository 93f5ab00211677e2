"""Bad requests, each with the field that it breaks: refused by name, and nothing is written."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact, ContactFilter
from contactservice.v1.export_pb2 import CsvOptions
from tests.client import Client
from tests.rpc.refusal import refusal

# Stands for the id of the contact that is there.
ID = "the id"
INVALID = "INVALID_FIELD"
DEL = "\x7f"

# Field of a contact and a text that it cannot have.
TEXTS: list[tuple[str, str]] = [
    ("name", "x" * 257),
    ("name", "🦄" * 257),
    ("name", "line\nbreak"),
    ("name", "\t"),
    ("name", "\0"),
    ("name", f"a{DEL}"),
    ("name", "\x9f"),
    ("nickname", "x" * 129),
    ("nickname", "\x1b[0m"),
    ("email", "x" * 255),
    ("email", "a@b\r\nBcc: c@d"),
    ("phone", "1" * 33),
    ("phone", "1\v2"),
    ("description", "x" * 4097),
    ("description", "é" * 2049),
    ("description", "form\ffeed"),
    ("preferences", "x" * (32 * 1024 + 1)),
    ("preferences", "a\0b"),
    ("preferences", "\x85"),
    ("fingerprint", "x" * 513),
    ("fingerprint", "é" * 257),
    ("fingerprint", " x"),
    ("fingerprint", "x\u3000"),
    ("fingerprint", " "),
    ("fingerprint", "a\nb"),
    ("fingerprint", "a\tb"),
    ("fingerprint", "d1:x"),
    ("fingerprint", "r1:"),
    ("fingerprint", "q42:x"),
]
# Members of metadata that cannot be kept.
METADATA: list[dict[str, Any]] = [
    {"nan": float("nan")},
    {"inf": [float("inf")]},
    {"inf": {"deep": -float("inf")}},
    {"whole": 2.0**53},
    {"whole": -(2.0**53)},
    {"whole": 1e20},
    {"": 1},
    {"k" * 129: 1},
    {"é" * 65: None},
    {"deep": {"": None}},
    {"list": [{"k" * 129: 1}]},
    {"text": "x" * 32 * 1024},
    {"list": [0] * 257},
    {str(number): number for number in range(257)},
]
TIMES = [
    Timestamp(seconds=-62_135_596_801),
    Timestamp(seconds=253_402_300_800),
    Timestamp(seconds=2**63 - 1),
    Timestamp(nanos=-1),
    Timestamp(nanos=1_000_000_000),
]
FILTERS: list[tuple[ContactFilter, str]] = [
    (ContactFilter(metadata=Struct()), "metadata"),
    (ContactFilter(metadata_exists=["a..b"]), "metadata_exists"),
    (ContactFilter(emails=[""]), "emails"),
    (ContactFilter(phones=["()"]), "phones"),
    (ContactFilter(fingerprints=["x"] * 101), "fingerprints"),
    (ContactFilter(ids=[ID, ""]), "ids"),
    *[(ContactFilter(created_after=time), "created_after") for time in TIMES],
    (ContactFilter(created_before=TIMES[0]), "created_before"),
    (ContactFilter(updated_after=TIMES[3]), "updated_after"),
    (ContactFilter(updated_before=TIMES[4]), "updated_before"),
]

Row = tuple[Message, str, str]


def struct(members: dict[str, Any]) -> Struct:
    message = Struct()
    message.update(members)
    return message


def written() -> Iterator[Row]:
    """What no call that writes a contact takes."""
    for name, text in TEXTS:
        yield pb.CreateContactRequest(contact=Contact(**{name: text})), INVALID, f"contact.{name}"
        yield (
            pb.EnsureContactRequest(contact=Contact(**{"name": "x", name: text})),
            INVALID,
            f"contact.{name}",
        )
        yield pb.UpdateContactRequest(contact=Contact(id=ID, **{name: text})), INVALID, f"contact.{name}"
    for members in METADATA:
        contact = Contact(id=ID, name="x", metadata=struct(members))
        for kind in (pb.CreateContactRequest, pb.EnsureContactRequest, pb.UpdateContactRequest):
            yield kind(contact=contact), "METADATA_INVALID", "contact.metadata"
    for time in TIMES:
        contact = Contact(id=ID, name="x", verified_at=time)
        for kind in (pb.CreateContactRequest, pb.EnsureContactRequest, pb.UpdateContactRequest):
            yield kind(contact=contact), INVALID, "contact.verified_at"


def asked() -> Iterator[Row]:
    """What no call that reads contacts takes."""
    for terms, name in FILTERS:
        yield pb.ListContactsRequest(filter=terms), "FILTER_INVALID", f"filter.{name}"
        yield pb.ExportContactsRequest(filter=terms), "FILTER_INVALID", f"filter.{name}"
    yield pb.ListContactsRequest(page_size=-1), INVALID, "page_size"
    yield pb.ListContactsRequest(page_size=-(2**31)), INVALID, "page_size"
    yield pb.ListContactsRequest(order=3), INVALID, "order"
    yield pb.ListContactsRequest(page_token="x"), "PAGE_TOKEN_INVALID", "page_token"
    yield pb.ExportContactsRequest(order=-1), INVALID, "order"
    yield pb.ExportContactsRequest(format=99), INVALID, "format"
    yield pb.ExportContactsRequest(format=3, csv=CsvOptions(cells=3)), INVALID, "csv.cells"
    yield pb.ExportContactsRequest(max_records=-1), INVALID, "max_records"
    yield pb.ExportContactsRequest(max_records=-(2**63)), INVALID, "max_records"
    yield pb.ExportContactsRequest(resume_token="x"), "PAGE_TOKEN_INVALID", "resume_token"


def named() -> Iterator[Row]:
    """What names no contact, no field or no way to write one."""
    for text in ("x" * 129, "🦄" * 129, "\n", "a\0"):
        yield pb.CreateContactRequest(request_id=text), INVALID, "request_id"
    yield pb.CreateContactRequest(request_id="\n", contact=Contact(fingerprint="f")), INVALID, "request_id"
    yield pb.EnsureContactRequest(), "NO_IDENTITY", "contact"
    yield pb.EnsureContactRequest(contact=Contact(name=" ", phone="-")), "NO_IDENTITY", "contact"
    yield pb.GetContactRequest(), INVALID, "id"
    yield pb.DeleteContactRequest(), INVALID, "id"
    yield pb.DeleteContactRequest(allow_missing=True), INVALID, "id"
    yield pb.DeleteContactRequest(etag="1"), INVALID, "id"
    yield pb.UpdateContactRequest(), INVALID, "contact.id"
    yield pb.UpdateContactRequest(contact=Contact(name="x")), INVALID, "contact.id"
    yield pb.UpdateContactRequest(contact=Contact(id=ID, name="x"), metadata_mode=3), INVALID, "metadata_mode"
    for paths, reason, field in [
        (["name", "nonsense"], "MASK_PATH_INVALID", "update_mask"),
        (["metadata.plan"], "MASK_PATH_INVALID", "update_mask"),
        (["*", "created_at"], "MASK_PATH_INVALID", "update_mask"),
        (["*", "trusted"], "TRUST_IMMUTABLE", "update_mask"),
        (["fingerprint"], INVALID, "contact.fingerprint"),
    ]:
        contact = Contact(id=ID, name="x")
        yield pb.UpdateContactRequest(contact=contact, update_mask=FieldMask(paths=paths)), reason, field


def name_of(each: Any) -> str:
    return f"{type(each).__name__} {each}"[:60] if isinstance(each, Message) else str(each)


ROWS = [*written(), *asked(), *named()]


def test_the_table_is_long() -> None:
    """Forty requests at the very least, of every RPC."""
    assert len(ROWS) >= 40
    assert len({type(message) for message, _, _ in ROWS}) == 7


@pytest.mark.parametrize(("message", "reason", "field"), ROWS, ids=name_of)
async def test_a_bad_request_is_refused(client: Client, message: Message, reason: str, field: str) -> None:
    """INVALID_ARGUMENT with reason and field, and the account holds what it held before."""
    born = await client.create(name="Ann", metadata={"plan": "pro"})
    sent: Any = type(message).FromString(message.SerializeToString())
    if isinstance(sent, pb.UpdateContactRequest) and sent.contact.id == ID:
        sent.contact.id = born.id
    method = type(message).__name__.removesuffix("Request")
    answer = await refusal(client.unary(method)(sent, metadata=client.metadata, timeout=10))
    assert (answer.code, answer.reason) == ("INVALID_ARGUMENT", reason)
    assert set(answer.fields) == {field}
    assert answer.message.startswith(field + ": ")
    assert answer.info.domain == "contactservice.v1"
    assert await client.list() == ([born], "")
