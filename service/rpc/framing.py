"""Messages put together from bytes: what is encoded already is not encoded again.

A message is its fields one after the other, so the large one is framed by hand and the small ones follow.
"""

from contactservice.v1.contact_service_pb2 import (
    EnsureContactResponse,
    EnsureOutcome,
    ExportContactsResponse,
)
from service.domain.contact import Contact
from service.domain.encoding import Encoder
from service.rpc import messages

_DELIMITED = 2

# Of an EnsureContactResponse and a CreateContactResponse: `created`, when it is true.
_CREATED = bytes((EnsureContactResponse.CREATED_FIELD_NUMBER << 3, True))
_CREATED_OUTCOME = bytes((EnsureOutcome.CREATED_FIELD_NUMBER << 3, True))


def data_message(texts: list[bytes], records: int, token: str) -> bytes:
    """An ExportContactsResponse whose data are these texts, joined."""
    return _message(ExportContactsResponse.DATA_FIELD_NUMBER, texts, records, token)


def contacts_message(elements: list[bytes], records: int, token: str) -> bytes:
    """An ExportContactsResponse whose contacts are these elements of a ContactList."""
    return _message(ExportContactsResponse.CONTACTS_FIELD_NUMBER, elements, records, token)


def answer(element: bytes, *, created: bool = False) -> bytes:
    """The response that holds this element of a ContactList: in both the contact is field 1."""
    return element + _CREATED if created else element


def element(message: bytes) -> bytes:
    """A message as one of the first field of another: an outcome of a batch, a contact of a list."""
    return _opening(1, len(message)) + message


def ensured(element: bytes, *, created: bool) -> bytes:
    """The EnsureOutcome with this element of a ContactList: in both the contact is field 1."""
    return element + _CREATED_OUTCOME if created else element


def contact_messages() -> Encoder:
    """Contacts as they are: each record is an element of a ContactList, and nothing stands between two."""
    return Encoder(
        "contacts", "application/x-protobuf; messageType=contactservice.v1.Contact", contact_element
    )


def contact_element(contact: Contact) -> bytes:
    return element(messages.contact(contact).SerializeToString())


def _message(field: int, texts: list[bytes], records: int, token: str) -> bytes:
    rest = ExportContactsResponse(record_count=records, resume_token=token).SerializeToString()
    return b"".join((_opening(field, sum(map(len, texts))), *texts, rest))


def _opening(field: int, size: int) -> bytes:
    """What stands before the bytes of a field: its number with the wire type, and their length."""
    encoded = bytearray((field << 3 | _DELIMITED,))
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)
