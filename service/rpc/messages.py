"""Between the messages of the interface and the values of the domain: knows every field of the .proto."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from contactservice.v1 import contact_pb2, contact_service_pb2, deletion_pb2
from service.domain import filters, identity, importing, limits, update, validation
from service.domain.changes import Kind
from service.domain.contact import TEXT_FIELDS, Contact, Draft, Metadata
from service.domain.deletion import Receipt
from service.domain.errors import FilterInvalid, InvalidField, InvalidRequest, Violation
from service.domain.filters import ContactFilter, MetadataEquals, Selection

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00Z
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z
_NANOS = 1_000_000_000
_NANOS_PER_MILLISECOND = 1_000_000
CONFLICTS = {
    contact_service_pb2.IMPORT_CONFLICT_SKIP: importing.Conflict.SKIP,
    contact_service_pb2.IMPORT_CONFLICT_MERGE: importing.Conflict.MERGE,
    contact_service_pb2.IMPORT_CONFLICT_FAIL: importing.Conflict.FAIL,
}
RESULTS = {
    importing.Result.CREATED: contact_service_pb2.IMPORT_RESULT_CREATED,
    importing.Result.FOUND: contact_service_pb2.IMPORT_RESULT_FOUND,
    importing.Result.UPDATED: contact_service_pb2.IMPORT_RESULT_UPDATED,
}
_LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)


def contact(found: Contact) -> contact_pb2.Contact:
    message = contact_pb2.Contact(
        id=found.id,
        fingerprint=found.fingerprint,
        trusted=found.trusted,
        name=found.name,
        description=found.description,
        email=found.email,
        phone=found.phone,
        nickname=found.nickname,
        preferences=found.preferences,
        created_at=timestamp(found.created_at),
        updated_at=timestamp(found.updated_at),
        etag=found.etag,
    )
    _fill_struct(message.metadata, found.metadata)
    # An empty object is shown, too: a reader never has to tell absent from empty.
    message.metadata.SetInParent()
    if found.verified_at:
        message.verified_at.CopyFrom(timestamp(found.verified_at))
    return message


def new_contact(said: contact_pb2.Contact | Draft) -> Draft:
    """The checked draft of a new contact; a draft is one. Raises InvalidField or MetadataInvalid."""
    return said if isinstance(said, Draft) else validation.checked_draft(_draft(said))


def change(
    request: contact_service_pb2.UpdateContactRequest, *, may_change_fingerprint: bool
) -> update.Change:
    """The checked update; raises InvalidField, MetadataInvalid, MaskPathInvalid or TrustImmutable."""
    if not request.contact.id:
        raise InvalidField(Violation("contact.id", "must not be empty"))
    known_value("metadata_mode", request.metadata_mode, contact_service_pb2.MetadataMode.values())
    fields = update.masked_fields(request.update_mask.paths, _draft(request.contact))
    return update.Change(
        values=validation.checked_patch(_draft(request.contact)),
        fields=fields,
        replace_metadata=request.metadata_mode == contact_service_pb2.METADATA_MODE_REPLACE,
        etag=request.contact.etag,
        may_change_fingerprint=may_change_fingerprint,
    )


def plan(options: contact_service_pb2.ImportOptions, *, trusting: bool) -> importing.Plan:
    """How to import; raises InvalidField."""
    known_value("options.conflict", options.conflict, contact_service_pb2.ImportConflict.values())
    conflict = CONFLICTS.get(options.conflict, importing.Conflict.SKIP)
    return importing.Plan(conflict, validate_only=options.validate_only, trusting=trusting)


def said(row: contact_pb2.Contact) -> importing.Said:
    """A row of an import; raises InvalidField for a time that is none."""

    def moment(name: str) -> datetime | None:
        if not row.HasField(name):  # type: ignore[arg-type]
            return None
        return _moment(getattr(row, name), f"contact.{name}", InvalidField)

    return importing.Said(
        draft=_draft(row),
        id=row.id,
        trusted=row.trusted,
        created_at=moment("created_at"),
        updated_at=moment("updated_at"),
    )


def selection(
    account: str,
    request: contact_service_pb2.ListContactsRequest | contact_service_pb2.ExportContactsRequest,
    default_order: contact_pb2.ContactOrder.ValueType,
) -> Selection:
    """Filter and order of a request; raises FilterInvalid, ContactNotOwned or InvalidField (order)."""
    known_value("order", request.order, contact_pb2.ContactOrder.values())
    order = request.order or default_order
    newest_first = order == contact_pb2.CONTACT_ORDER_NEWEST_FIRST
    return Selection(account, _contact_filter(account, request.filter), newest_first)


def counted(account: str, request: contact_service_pb2.CountContactsRequest) -> tuple[Selection, int]:
    """What to count, and where to end (0: nowhere); raises as `selection`."""
    if request.max_count < 0:
        raise InvalidField(Violation("max_count", "must not be negative"))
    return Selection(account, _contact_filter(account, request.filter), newest_first=False), request.max_count


def purged(account: str, request: contact_service_pb2.PurgeContactsRequest) -> tuple[Selection, int]:
    """What to delete, and how much of it; raises FilterInvalid, ContactNotOwned or InvalidField."""
    if not 0 <= request.limit <= limits.PURGE_CONTACTS:
        raise InvalidField(Violation("limit", f"must be 0 to {limits.PURGE_CONTACTS}"))
    wanted = _contact_filter(account, request.filter)
    if wanted == ContactFilter():
        raise FilterInvalid(Violation("filter", "must have at least one term"))
    return Selection(account, wanted, newest_first=False), request.limit or limits.PURGE_CONTACTS


def watched(account: str, request: contact_service_pb2.WatchContactsRequest) -> Selection:
    """Which contacts to follow; raises FilterInvalid or ContactNotOwned."""
    return Selection(account, _contact_filter(account, request.filter), newest_first=False)


def change_kind(kind: Kind) -> contact_service_pb2.ChangeKind.ValueType:
    return contact_service_pb2.ChangeKind.Value(f"CHANGE_KIND_{kind.name}")


def known_value(field: str, value: int, known: Sequence[int]) -> None:
    """Raises InvalidField for an enum value that this version of the interface does not have."""
    if value not in known:
        raise InvalidField(Violation(field, "unknown value"))


def receipt(deletion: Receipt) -> deletion_pb2.DeletionReceipt:
    message = deletion_pb2.DeletionReceipt(
        id=deletion.id,
        state=deletion_pb2.DELETION_STATE_RUNNING,
        collections=[
            deletion_pb2.CollectionCount(
                collection=each.collection, deleted=each.deleted, unlinked=each.unlinked
            )
            for each in deletion.collections
        ],
        started_at=timestamp(deletion.started_at),
    )
    if deletion.finished_at:
        message.state = deletion_pb2.DELETION_STATE_COMPLETE
        message.finished_at.CopyFrom(timestamp(deletion.finished_at))
    return message


def timestamp(moment: datetime) -> Timestamp:
    # FromDatetime takes 5 us, this takes 1.
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def _draft(message: contact_pb2.Contact) -> Draft:
    verified = message.HasField("verified_at")
    return Draft(
        fingerprint=message.fingerprint,
        metadata=_members(message.metadata) if message.HasField("metadata") else None,
        verified_at=_moment(message.verified_at, "contact.verified_at", InvalidField) if verified else None,
        **{name: getattr(message, name) for name in TEXT_FIELDS},
    )


def _contact_filter(account: str, message: contact_pb2.ContactFilter) -> ContactFilter:
    def moment(name: str) -> datetime | None:
        if not message.HasField(name):  # type: ignore[arg-type]
            return None
        return _moment(getattr(message, name), f"filter.{name}", FilterInvalid, round_up=True)

    return filters.checked(
        ContactFilter(
            metadata=_conditions(message.metadata) if message.HasField("metadata") else (),
            metadata_exists=filters.paths(message.metadata_exists),
            emails=filters.any_of("emails", message.emails, identity.normal_text),
            phones=filters.any_of("phones", message.phones, identity.normal_phone),
            fingerprints=filters.any_of("fingerprints", message.fingerprints),
            ids=filters.owned_ids(account, message.ids),
            trusted=message.trusted if message.HasField("trusted") else None,
            verified=message.verified if message.HasField("verified") else None,
            created_after=moment("created_after"),
            created_before=moment("created_before"),
            updated_after=moment("updated_after"),
            updated_before=moment("updated_before"),
        )
    )


def _conditions(message: Struct) -> tuple[MetadataEquals, ...]:
    # Before anything is made of them: a request has room for a quarter of a million.
    filters.check_few(_leaves(message.fields.values()))
    return filters.metadata_conditions(_members(message))


def _leaves(values: Iterable[Value]) -> Iterator[Value]:
    for value in values:
        if value.struct_value.fields:
            yield from _leaves(value.struct_value.fields.values())
        elif value.list_value.values:
            yield from _leaves(value.list_value.values)
        else:
            yield value


def _moment(
    message: Timestamp, field: str, invalid: Callable[[Violation], InvalidRequest], *, round_up: bool = False
) -> datetime:
    # What is stored has whole milliseconds. A bound between two of them means the later one.
    if not (_FIRST_SECOND <= message.seconds <= _LAST_SECOND and 0 <= message.nanos < _NANOS):
        raise invalid(Violation(field, "a time lies in the years 1 to 9999, with 0 to 999999999 nanoseconds"))
    milliseconds, rest = divmod(message.nanos, _NANOS_PER_MILLISECOND)
    moment = _EPOCH + timedelta(seconds=message.seconds, milliseconds=milliseconds)
    if round_up and rest and moment < _LAST_MOMENT:
        moment += timedelta(milliseconds=1)
    return moment


def _members(message: Struct) -> Metadata:
    return {key: _plain(value) for key, value in message.fields.items()}


def _plain(message: Value) -> Any:
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return _members(message.struct_value)
    if kind == "list_value":
        return [_plain(each) for each in message.list_value.values]
    return None if kind in {None, "null_value"} else getattr(message, kind)


def _fill_struct(message: Struct, members: Metadata) -> None:
    fields = message.fields
    for key, value in members.items():
        _fill_value(fields[key], value)


def _fill_value(message: Value, value: Any) -> None:
    if isinstance(value, str):
        message.string_value = value
    elif isinstance(value, bool):
        message.bool_value = value
    elif value is None:
        message.null_value = 0  # type: ignore[assignment]
    elif isinstance(value, dict):
        message.struct_value.SetInParent()
        _fill_struct(message.struct_value, value)
    elif isinstance(value, list):
        _fill_list(message.list_value, value)
    else:
        message.number_value = value


def _fill_list(message: ListValue, values: list[Any]) -> None:
    message.SetInParent()
    for value in values:
        _fill_value(message.values.add(), value)
