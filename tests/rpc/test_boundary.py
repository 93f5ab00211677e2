"""The boundary as a client sees it: what does not parse, what fails unexpectedly, and what is told of it."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest

from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.contact_service_pb2 import CreateContactRequest
from contactservice.v1.contact_service_pb2_grpc import add_ContactServiceServicer_to_server
from service.domain.errors import InvalidField, ServiceError, Violation
from service.domain.paging import TokenSigner
from service.ops.lines import LineFormatter, as_json
from service.ops.memory import MemoryGuard, resident
from service.rpc import token_file
from service.rpc.boundary import Boundary
from service.rpc.call import Call, Method
from service.rpc.limits import Limits
from service.rpc.server import SERVICE
from service.rpc.servicer import Servicer
from service.rpc.slots import Slots
from service.rpc.tokens import Tokens
from tests.client import Client, request
from tests.rpc.refusal import Refusal, refusal, send

METHODS = [method.name for method in SERVICE.methods]
SHAPES = ["GetContact", "ExportContacts"]
CANARY = "canary-8d27f0"
UNPARSABLE = {
    "not a message": b"\xff\xff\xff",
    "cut short": b"\x0a\x05ab",
    "a group without an end": b"\x0b",
    "an end without a group": b"\x0c",
    "field 0": b"\x02\x01a",
    "a number without an end": b"\x08" + b"\x80" * 11,
}
# A string of each request with bytes that are no UTF-8: in the request, its contact or its filter.
INVALID_UTF8 = {
    "GetContact": b"\x0a\x02\xc3\x28",
    "DeleteContact": b"\x0a\x02\xff\xfe",
    "CreateContact": b"\x0a\x04\x22\x02\xc3\x28",
    "EnsureContact": b"\x0a\x05\x22\x03\xed\xa0\x80",
    "UpdateContact": b"\x0a\x04\x0a\x02\xc0\x80",
    "ListContacts": b"\x0a\x04\x2a\x02\xc3\x28",
    "ExportContacts": b"\x0a\x04\x2a\x02\xc3\x28",
    "BatchGetContacts": b"\x0a\x02\xc3\x28",
    "BatchEnsureContacts": b"\x0a\x05\x22\x03\xed\xa0\x80",
    "BatchDeleteContacts": b"\x0a\x02\xff\xfe",
    "CountContacts": b"\x0a\x04\x2a\x02\xc3\x28",
    "PurgeContacts": b"\x0a\x04\x2a\x02\xc3\x28",
    "WatchContacts": b"\x0a\x04\x2a\x02\xc3\x28",
    "ImportContacts": b"\x12\x05\x22\x03\xed\xa0\x80",
}


class BrokenStore:
    """A store whose every method fails in the same way, where the service least expects it."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get(self, *_: Any) -> Any:
        raise self._error

    operation_time = take_in = get

    async def scan(self, *_: Any) -> AsyncIterator[Any]:
        raise self._error
        yield


async def answered(error: Exception, tokens: Path, method: str) -> Refusal:
    """How a server whose store fails with the error answers a good request."""
    token = token_file.add(tokens, "a", ("read", "export", "import"))
    fields = {"contacts": [{"name": "Ann"}]} if method == "ImportContacts" else {}
    raw = request(method, **fields).SerializeToString()
    boundary = Boundary(
        SERVICE,
        Tokens(tokens),
        Limits(
            9,
            None,
            {"export_slots": Slots(9, 9), "watch_slots": Slots(9, 9)},
            {},
            MemoryGuard(None, resident),
        ),
        stall_seconds=1.0,
    )
    server = grpc.aio.server(interceptors=[boundary])

    async def signer() -> TokenSigner:
        return TokenSigner([b"k" * 32])

    store: Any = BrokenStore(error)
    add_ContactServiceServicer_to_server(Servicer(store, signer), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = await refusal(send(channel, method, raw, [("authorization", f"Bearer {token}")]))
    await server.stop(None)
    return answer


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("raw", UNPARSABLE.values(), ids=UNPARSABLE)
async def test_a_request_that_does_not_parse(
    client: Client, channel: grpc.aio.Channel, method: str, raw: bytes
) -> None:
    """INVALID_FIELD of the whole request, with no text of a parser."""
    answer = await refusal(send(channel, method, raw, client.metadata))
    assert (answer.code, answer.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert answer.fields == ["request"]
    assert answer.info.domain == "contactservice.v1"
    assert not any(word in answer.message.lower() for word in ("error", "exception", "wire", "decod"))


@pytest.mark.parametrize("method", METHODS)
async def test_a_text_that_is_no_utf8(client: Client, channel: grpc.aio.Channel, method: str) -> None:
    """A string with other bytes than UTF-8 does not parse, wherever it stands."""
    answer = await refusal(send(channel, method, INVALID_UTF8[method], client.metadata))
    assert (answer.code, answer.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert answer.fields == ["request"]


async def test_unknown_fields_are_skipped(client: Client, channel: grpc.aio.Channel) -> None:
    """A request of a newer client is understood as far as this version goes."""
    contact = await client.create(name="Ann")
    raw = request("GetContact", id=contact.id).SerializeToString() + b"\xf8\x06\x01"
    answer = await send(channel, "GetContact", raw, client.metadata)
    assert contact.SerializeToString(deterministic=True) in answer


@pytest.mark.parametrize("shape", [*SHAPES, "ImportContacts"])
async def test_an_unexpected_failure_is_bland(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, shape: str
) -> None:
    """INTERNAL with a request id and nothing else for the client; under that id the log has the trace."""
    caplog.set_level(logging.INFO, "service")
    answer = await answered(ZeroDivisionError(CANARY), tmp_path / "tokens", shape)
    assert (answer.code, answer.reason) == ("INTERNAL", "INTERNAL")
    assert list(answer.info.metadata) == ["request_id"]
    assert answer.detail(BadRequest) is None
    assert answer.trailing == ("grpc-status-details-bin",)
    for text in (CANARY, "ZeroDivisionError", "Traceback", ".py"):
        assert text not in answer.message
        assert text.encode() not in answer.details
    request_id = answer.info.metadata["request_id"]
    error, call = (each for each in caplog.records if each.__dict__.get("request_id") == request_id)
    assert error.levelname == "ERROR"
    line = LineFormatter(as_json).format(error)
    assert "ZeroDivisionError" in line
    assert "raise self._error" in line
    assert (call.__dict__["code"], call.__dict__["reason"]) == ("INTERNAL", "INTERNAL")


class Failing(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise NotImplementedError(record.name)


def test_a_failure_that_cannot_be_logged_is_one_all_the_same() -> None:
    """It is known as INTERNAL before its line is made: to metrics, spans and the audit trail."""
    log, handler, call = logging.getLogger("service.rpc.call"), Failing(), Call(Method(SERVICE.methods[0]))
    log.addHandler(handler)
    with pytest.raises(NotImplementedError):
        call.failed(ZeroDivisionError())
    log.removeHandler(handler)
    assert (call.code, call.reason) == ("INTERNAL", "INTERNAL")


async def test_each_failure_has_a_request_id_of_its_own(tmp_path: Path) -> None:
    """Two failed calls can be told apart in the log, also over one store."""
    answers = [await answered(KeyError("x"), tmp_path / "tokens", shape) for shape in SHAPES * 2]
    assert len({answer.info.metadata["request_id"] for answer in answers}) == 4


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 20, 1000])
async def test_details_have_at_most_4_kib(tmp_path: Path, shape: str, count: int) -> None:
    """However many fields are wrong, code and reason arrive, and the first fields that fit."""
    violations = [Violation(f"contact.field_{number}", "breaks a rule") for number in range(count)]
    answer = await answered(InvalidField(*violations), tmp_path / "tokens", shape)
    assert (answer.code, answer.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert len(answer.details) <= 4096
    assert answer.fields == [violation.field for violation in violations[: len(answer.fields)]]
    assert len(answer.fields) >= min(count, 50)


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_violation_that_fits_nowhere_is_left_out(tmp_path: Path, shape: str) -> None:
    """One that alone exceeds the limit costs the client this violation, not the answer."""

    class Wordy(ServiceError):
        code, reason = "INVALID_ARGUMENT", "INVALID_FIELD"

    error = Wordy("One sentence.", violations=(Violation("contact", "x" * 5000),))
    answer = await answered(error, tmp_path / "tokens", shape)
    assert (answer.code, answer.reason, answer.fields) == ("INVALID_ARGUMENT", "INVALID_FIELD", [])
    assert len(answer.details) <= 4096


async def test_all_broken_fields_are_told_at_once(client: Client) -> None:
    """A form with many mistakes needs one answer, not one call for each."""
    wrong = {"name": "x" * 257, "phone": "\x00" * 33, "email": "\n", "fingerprint": " "}
    failed = await client.failure("CreateContact", contact=wrong)
    assert set(failed.fields) == {f"contact.{name}" for name in wrong}


async def test_unknown_methods_and_services(client: Client, channel: grpc.aio.Channel) -> None:
    """UNIMPLEMENTED without details, by gRPC itself, whether the caller is known or not."""
    for metadata in (client.metadata, None):
        for path in ("contactservice.v1.ContactService/DestroyContact", "other.v1.Service/GetContact"):
            answer = await refusal(channel.unary_unary(f"/{path}")(b"", metadata=metadata))
            assert (answer.code, answer.details) == ("UNIMPLEMENTED", b"")


async def test_a_request_has_at_most_one_mebibyte(client: Client, channel: grpc.aio.Channel) -> None:
    """One of exactly 1 MiB is read and judged by its fields, a larger one is refused by gRPC."""
    bare = CreateContactRequest(contact=Contact(preferences="x" * 2**19)).ByteSize() - 2**19
    for size, code, reason in [
        (2**20, "INVALID_ARGUMENT", "INVALID_FIELD"),
        (2**20 + 1, "RESOURCE_EXHAUSTED", ""),
        (2**22, "RESOURCE_EXHAUSTED", ""),
    ]:
        message = CreateContactRequest(contact=Contact(preferences="x" * (size - bare)))
        raw = message.SerializeToString()
        answer = await refusal(send(channel, "CreateContact", raw, client.metadata))
        assert abs(len(raw) - size) <= 2
        assert (answer.code, answer.reason) == (code, reason)
    assert await client.list() == ([], "")


SEEDED: list[tuple[str, dict[str, Any]]] = [
    *[("CreateContact", {"contact": {name: CANARY * 3000}}) for name in ("name", "description", "email")],
    *[("CreateContact", {"contact": {name: CANARY * 3000}}) for name in ("phone", "nickname", "preferences")],
    *[("CreateContact", {"contact": {"fingerprint": text + CANARY}}) for text in ("d1:", " ", "\n")],
    ("CreateContact", {"request_id": CANARY * 20}),
    ("CreateContact", {"contact": {"metadata": {CANARY * 20: 1}}}),
    ("CreateContact", {"contact": {"metadata": {CANARY: 1e20}}}),
    ("CreateContact", {"contact": {"metadata": {"k": CANARY * 3000}}}),
    ("EnsureContact", {"contact": {"description": CANARY}}),
    ("GetContact", {"id": CANARY}),
    ("DeleteContact", {"id": CANARY, "etag": CANARY}),
    ("UpdateContact", {"contact": {"id": CANARY, "name": CANARY}}),
    ("UpdateContact", {"contact": {"id": "x"}, "update_mask": CANARY}),
    ("UpdateContact", {"contact": {"id": "x"}, "update_mask": f"metadata.{CANARY}"}),
    ("ListContacts", {"page_token": CANARY}),
    ("ListContacts", {"filter": {"metadata": {CANARY: None}}}),
    ("ListContacts", {"filter": {"metadata": {CANARY: [CANARY, []]}}}),
    ("ListContacts", {"filter": {"metadata_exists": [f"`{CANARY}"]}}),
    ("ListContacts", {"filter": {"emails": [CANARY, ""]}}),
    ("ExportContacts", {"resume_token": CANARY}),
    ("ExportContacts", {"filter": {"fingerprints": [CANARY] * 101}}),
    ("ImportContacts", {"contacts": [{"name": CANARY}] * 501}),
]


@pytest.mark.parametrize(("method", "fields"), SEEDED)
async def test_no_error_repeats_what_was_wrong(client: Client, method: str, fields: dict[str, Any]) -> None:
    """Sentence and details name the field and the rule, never a value or a key that was sent."""
    answer = await refusal(client.unary(method)(request(method, **fields), metadata=client.metadata))
    assert answer.reason
    assert CANARY not in answer.message
    assert CANARY.encode() not in answer.details


async def test_no_error_of_a_state_tells_a_value(client: Client) -> None:
    """A taken fingerprint and a stale etag are not repeated either."""
    await client.create(fingerprint=CANARY)
    contact = await client.create(fingerprint="f")
    for sent in ({"fingerprint": CANARY}, {"etag": CANARY}):
        message = request("UpdateContact", contact={"id": contact.id, **sent})
        answer = await refusal(client.unary("UpdateContact")(message, metadata=client.metadata))
        assert answer.reason in {"FINGERPRINT_TAKEN", "ETAG_MISMATCH"}
        assert CANARY not in answer.message
        assert CANARY.encode() not in answer.details
