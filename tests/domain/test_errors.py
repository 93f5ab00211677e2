"""The errors of the interface: one class for one reason, and each with the code that the contract names."""

import inspect

import pytest

from contactservice.v1.errors_pb2 import ErrorReason
from service.domain import errors
from service.domain.errors import ServiceError, Violation

CODES = {
    "CREDENTIALS_MISSING": "UNAUTHENTICATED",
    "CREDENTIALS_INVALID": "UNAUTHENTICATED",
    "SCOPE_MISSING": "PERMISSION_DENIED",
    "ACCOUNT_NOT_ALLOWED": "PERMISSION_DENIED",
    "CONTACT_NOT_OWNED": "PERMISSION_DENIED",
    "CONTACT_NOT_FOUND": "NOT_FOUND",
    "CONTACT_MERGED": "NOT_FOUND",
    "INVALID_FIELD": "INVALID_ARGUMENT",
    "MASK_PATH_INVALID": "INVALID_ARGUMENT",
    "METADATA_INVALID": "INVALID_ARGUMENT",
    "NO_IDENTITY": "INVALID_ARGUMENT",
    "FILTER_INVALID": "INVALID_ARGUMENT",
    "PAGE_TOKEN_INVALID": "INVALID_ARGUMENT",
    "PAGE_TOKEN_MISMATCH": "INVALID_ARGUMENT",
    "TRUST_IMMUTABLE": "INVALID_ARGUMENT",
    "ETAG_MISMATCH": "ABORTED",
    "WRITE_CONFLICT": "ABORTED",
    "READER_STALLED": "ABORTED",
    "FINGERPRINT_TAKEN": "ALREADY_EXISTS",
    "ID_TAKEN": "ALREADY_EXISTS",
    "DELETE_RESTRICTED": "FAILED_PRECONDITION",
    "MERGE_NOT_ALLOWED": "FAILED_PRECONDITION",
    "RESUME_TOKEN_EXPIRED": "OUT_OF_RANGE",
    "RATE_LIMITED": "RESOURCE_EXHAUSTED",
    "EXPORT_SLOTS_FULL": "RESOURCE_EXHAUSTED",
    "RESPONSE_FULL": "RESOURCE_EXHAUSTED",
    "STORE_TIMEOUT": "DEADLINE_EXCEEDED",
    "STORE_UNAVAILABLE": "UNAVAILABLE",
    "SHUTTING_DOWN": "UNAVAILABLE",
    "INTERNAL": "INTERNAL",
}


def classes_below(parent: type[ServiceError]) -> list[type[ServiceError]]:
    return [each for child in parent.__subclasses__() for each in (child, *classes_below(child))]


# InvalidRequest is what its children share, and never raised itself.
CLASSES = [each for each in classes_below(ServiceError) if each is not errors.InvalidRequest]
named = pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)


def test_the_table_names_every_reason_of_the_interface() -> None:
    """Each reason of the .proto has a code here, and no other reason exists."""
    published = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118 (an enum wrapper)
    assert published - {"UNSPECIFIED"} == CODES.keys()


@named
def test_a_reason_is_one_of_the_interface(error: type[ServiceError]) -> None:
    """What a class sends as its reason is a value of ErrorReason."""
    assert ErrorReason.Value(f"ERROR_REASON_{error.reason}") > 0


@named
def test_a_class_is_named_as_its_reason(error: type[ServiceError]) -> None:
    """ContactNotFound is CONTACT_NOT_FOUND: one word for one thing."""
    assert error.__name__.upper() == error.reason.replace("_", "")


@named
def test_a_class_has_the_code_of_the_contract(error: type[ServiceError]) -> None:
    """The gRPC code of a reason never changes."""
    assert error.code == CODES[error.reason]


def test_no_two_classes_share_a_reason() -> None:
    """A program that reads the reason knows which error it was."""
    reasons = [error.reason for error in CLASSES]
    assert sorted(reasons) == sorted(set(reasons))


@named
def test_the_map_of_errors_names_every_class(error: type[ServiceError]) -> None:
    """The drawing at the top of the module is complete."""
    assert error.__name__ in str(errors.__doc__)


def example(error: type[ServiceError]) -> ServiceError:
    """An error of the class, with something for each argument that it must have."""
    some = {str: "Something.", int: 1, float: 30.0, Violation: Violation("contact.name", "too long")}
    needed = [
        each
        for each in inspect.signature(error).parameters.values()
        if each.default is each.empty and each.kind is not each.VAR_KEYWORD
    ]
    return error(*(some[each.annotation] for each in needed))


@named
def test_a_message_is_one_plain_sentence(error: type[ServiceError]) -> None:
    """Messages end with a full stop, have one line, and are what the exception shows."""
    message = example(error).message
    assert message.endswith(".")
    assert message.isprintable()
    assert str(example(error)) == message


@named
def test_waiting_is_told_where_it_helps(error: type[ServiceError]) -> None:
    """Those errors that pass by themselves say when to come back, and no other does."""
    passing = {"RATE_LIMITED", "EXPORT_SLOTS_FULL", "STORE_UNAVAILABLE", "SHUTTING_DOWN"}
    assert bool(example(error).retry_after) == (error.reason in passing)


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (errors.ScopeMissing("trust"), {"scope": "trust"}),
        (errors.FingerprintTaken("ct_1"), {"existing_id": "ct_1"}),
        (errors.Internal("req-1"), {"request_id": "req-1"}),
        (errors.ContactNotOwned(), {}),
        (errors.ContactNotFound(), {}),
    ],
)
def test_facts_for_programs_have_the_names_of_the_contract(
    error: ServiceError, facts: dict[str, str]
) -> None:
    """What a program needs stands beside the reason; nothing else does."""
    assert error.metadata == facts


def test_an_invalid_request_tells_all_violations_and_begins_with_the_first() -> None:
    """The message is about the first broken rule, the violations are all of them."""
    violations = (Violation("contact.name", "too long"), Violation("contact.email", "too long"))
    error = errors.InvalidField(*violations)
    assert error.message == "contact.name: too long."
    assert error.violations == violations
