"""The calls about one contact, and counting: requests from arguments, results from responses."""

from collections.abc import Sequence
from typing import Unpack
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from contactservice._fields import ContactFields, FilterTerms, contact_with, filter_with
from contactservice._plans import Call, Plan
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact, ContactFilter


def create(
    contact: Contact | None = None, /, *, request_id: str | None = None, **fields: Unpack[ContactFields]
) -> Plan[pb.CreateContactResponse]:
    """Creates a contact, or with a fingerprint finds the one that has it: `contact` and `created`.

    Without a `request_id` the call gets one of its own, so that its retries make one contact. Give one that
    outlives this process (the id of an order, of a message) when the process may call again after a crash.
    """
    request = pb.CreateContactRequest(
        contact=contact_with(contact, fields), request_id=uuid4().hex if request_id is None else request_id
    )
    response: pb.CreateContactResponse = yield Call("CreateContact", request)
    return response


def ensure(
    contact: Contact | None = None, /, **fields: Unpack[ContactFields]
) -> Plan[pb.EnsureContactResponse]:
    """Gets the one contact of a person, or creates it: `contact` and `created`.

    Known by the fingerprint, or without one by name, email, phone and nickname: send the same ones each time.
    """
    request = pb.EnsureContactRequest(contact=contact_with(contact, fields))
    response: pb.EnsureContactResponse = yield Call("EnsureContact", request)
    return response


def get(contact_id: str) -> Plan[Contact]:
    """The contact with the id; raises ContactNotFound."""
    response: pb.GetContactResponse = yield Call("GetContact", pb.GetContactRequest(id=contact_id))
    return response.contact


def update(
    contact: Contact | str,
    /,
    *,
    mask: Sequence[str] | None = None,
    etag: str | None = None,
    replace_metadata: bool = False,
    **fields: Unpack[ContactFields],
) -> Plan[Contact]:
    """Changes a contact and returns it as it is then.

    With an id: writes the fields that are named, and clears those that are None. With a Contact: those in
    `mask`, or without one those that are populated; its etag, when it has one, must be the current one.
    Metadata merges (None deletes a member) unless `replace_metadata`.
    """
    changed = contact_with(Contact(id=contact) if isinstance(contact, str) else contact, fields)
    if etag is not None:
        changed.etag = etag
    request = pb.UpdateContactRequest(
        contact=changed,
        update_mask=_mask(mask, fields),
        metadata_mode=pb.METADATA_MODE_REPLACE if replace_metadata else pb.METADATA_MODE_MERGE,
    )
    response: pb.UpdateContactResponse = yield Call("UpdateContact", request)
    return response.contact


def _mask(mask: Sequence[str] | None, fields: ContactFields) -> FieldMask | None:
    paths = list(fields) if mask is None else mask
    return FieldMask(paths=paths) if paths else None


def delete(contact_id: str, *, etag: str = "", allow_missing: bool = False) -> Plan[pb.DeleteContactResponse]:
    """Deletes a contact for ever: `id` and `receipt`.

    Tried again after UNAVAILABLE only with `allow_missing`: without it, a second try could not tell a contact
    that its first one deleted from one that never was.
    """
    request = pb.DeleteContactRequest(id=contact_id, etag=etag, allow_missing=allow_missing)
    response: pb.DeleteContactResponse = yield Call("DeleteContact", request, is_repeatable=allow_missing)
    return response


def count(
    matching: ContactFilter | None = None, /, *, max_count: int = 0, **terms: Unpack[FilterTerms]
) -> Plan[pb.CountContactsResponse]:
    """How many contacts match: `count`, and `capped` when there are more than `max_count`."""
    request = pb.CountContactsRequest(filter=filter_with(matching, terms), max_count=max_count)
    response: pb.CountContactsResponse = yield Call("CountContacts", request)
    return response


def purge(
    matching: ContactFilter | None = None,
    /,
    *,
    limit: int = 0,
    force: bool = False,
    **terms: Unpack[FilterTerms],
) -> Plan[pb.PurgeContactsResponse]:
    """Deletes contacts that match, at most `limit` (1000) a call: `state`, `count` and `restricted`.

    Without `force` it only counts. With it, call again until the state is PURGE_STATE_COMPLETE or nothing
    was deleted; UNAVAILABLE is not tried again then, since two tries may delete more than `limit`.
    """
    request = pb.PurgeContactsRequest(filter=filter_with(matching, terms), limit=limit, force=force)
    response: pb.PurgeContactsResponse = yield Call("PurgeContacts", request, is_repeatable=not force)
    return response
