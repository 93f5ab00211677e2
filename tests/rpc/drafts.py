"""Drafts of new contacts, read by the compiled part and in Python, to be compared."""

from dataclasses import replace
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from contactservice.v1.contact_pb2 import Contact
from service.domain import validation
from service.domain.contact import Draft
from service.domain.errors import InvalidRequest
from service.rpc import framing, messages, requests


def in_python(message: Contact) -> Draft | None:
    """The draft that the rules in Python make of it; None when they refuse it."""
    try:
        return validation.checked_draft(messages._draft(message))
    except InvalidRequest:
        return None


def natively(raw: bytes) -> Draft | None:
    """The draft that the compiled part makes of it; None when it leaves it to Python."""
    read = requests.new_contact(framing._opening(1, len(raw)) + raw)
    return read and read.contact


def exact(draft: Draft | None) -> str:
    """Unlike ==, it tells 1 from 1.0 and from true. The members of a map of protobuf have no order."""
    return repr(draft and replace(draft, metadata=in_order(draft.metadata)))


def in_order(metadata: Any) -> Any:
    if isinstance(metadata, dict):
        return {key: in_order(metadata[key]) for key in sorted(metadata)}
    return [in_order(each) for each in metadata] if isinstance(metadata, list) else metadata


def check_same(message: Contact) -> None:
    """The compiled part reads it, and as Python does."""
    ours = natively(message.SerializeToString())
    assert ours is not None
    assert exact(ours) == exact(in_python(message))


def check_not_other(message: Contact) -> None:
    """The compiled part reads it as Python does, or not at all."""
    ours = natively(message.SerializeToString())
    assert ours is None or exact(ours) == exact(in_python(message))


def value(plain: Any) -> Value:
    """As a caller may send it: also what no rule allows."""
    if plain is None:
        return Value(null_value=0)  # type: ignore[arg-type]
    if isinstance(plain, bool):
        return Value(bool_value=plain)
    if isinstance(plain, str):
        return Value(string_value=plain)
    if isinstance(plain, dict):
        return Value(struct_value=struct(plain))
    if isinstance(plain, list):
        return Value(list_value=ListValue(values=map(value, plain)))
    return Value(number_value=plain)


def struct(members: dict[str, Any]) -> Struct:
    return Struct(fields={key: value(member) for key, member in members.items()})
