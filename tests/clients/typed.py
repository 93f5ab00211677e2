"""What mypy sees of the clients: `./dev check` reads this, nothing runs it."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import assert_type

from contactservice import AsyncContactClient, AsyncExport, AsyncWatch, ContactClient, Export, Watch
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.export_pb2 import ExportSummary


async def awaited(contacts: AsyncContactClient, at: datetime) -> None:
    assert_type(await contacts.create(name="Ann", request_id="1"), pb.CreateContactResponse)
    assert_type(await contacts.ensure(Contact(), metadata={"a": [1]}), pb.EnsureContactResponse)
    assert_type(await contacts.get("ct_1"), Contact)
    assert_type(await contacts.update("ct_1", verified_at=None), Contact)
    assert_type(await contacts.delete("ct_1"), pb.DeleteContactResponse)
    assert_type(await contacts.count(created_after=at), pb.CountContactsResponse)
    assert_type(await contacts.purge(trusted=False, force=True), pb.PurgeContactsResponse)
    assert_type(await contacts.batch_get(["ct_1"]), list[pb.GetOutcome])
    assert_type(contacts.list(emails=["a"]), AsyncIterator[Contact])
    assert_type(contacts.export(format="CSV"), AsyncExport)
    assert_type(contacts.watch(trusted=True), AsyncWatch)
    assert_type(await contacts.export_to_file("people", trusted=True), ExportSummary)
    assert_type(contacts.within(1).for_account("a"), AsyncContactClient)
    await contacts.get()  # type: ignore[call-arg]
    await contacts.ensure(nam="Ann")  # type: ignore[call-arg]
    await contacts.ensure(name=1)  # type: ignore[arg-type]


def blocking(contacts: ContactClient) -> None:
    assert_type(contacts.create(name="Ann"), pb.CreateContactResponse)
    assert_type(contacts.update("ct_1", phone="1"), Contact)
    assert_type(contacts.batch_ensure([Contact()]), list[pb.EnsureOutcome])
    assert_type(contacts.batch_delete(["ct_1"]), list[pb.DeleteOutcome])
    assert_type(contacts.list(order="OLDEST_FIRST"), Iterator[Contact])
    assert_type(contacts.export(), Export)
    assert_type(contacts.watch(resume_token="t"), Watch)
    assert_type(contacts.export_to_file("people"), ExportSummary)
    contacts.list(order="newest")  # type: ignore[arg-type]
