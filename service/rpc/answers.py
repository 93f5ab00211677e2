"""What leaves the boundary: bytes of answers, what they say of a birth, which refusals are counted."""

from typing import Any

from service.rpc.audited import Born
from service.rpc.call import Call

# Who may not, and what there is no room for: reasons that are counted.
REFUSALS = (
    "CREDENTIALS_MISSING",
    "CREDENTIALS_INVALID",
    "SCOPE_MISSING",
    "ACCOUNT_NOT_ALLOWED",
    "CONTACT_NOT_OWNED",
    "RATE_LIMITED",
    "EXPORT_SLOTS_FULL",
    "SHUTTING_DOWN",
)


def told_apart(call: Call, answer: Any) -> Any:
    """The answer itself. What was only found is no event, and what was born has its id now."""
    if not isinstance(answer, Born):
        return answer
    call.contact_id = answer.contact_id
    call.audited = answer.contact_id is not None
    return answer.answer


def serialized(message: Any) -> bytes:
    """Of what holds contacts, the bytes that it is already."""
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())
