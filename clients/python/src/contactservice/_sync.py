"""The blocking client: carries out the same plans as the one for asyncio. Threads may share it."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from contactservice import _batches, _export, _operations, _pages, _watch
from contactservice._client import Client
from contactservice._errors import error_of
from contactservice._export import ExportState
from contactservice._file import ExportFile
from contactservice._methods import dress
from contactservice._patience import Patience
from contactservice._plans import Call, Plan
from contactservice._watch import WatchState
from contactservice.v1 import contact_service_pb2 as pb
from contactservice.v1.contact_pb2 import Contact
from contactservice.v1.contact_service_pb2_grpc import ContactServiceStub
from contactservice.v1.export_pb2 import ExportSummary

P = ParamSpec("P")
R = TypeVar("R")


def _called(
    plan: Callable[P, Plan[R]],
) -> Callable[Concatenate["ContactClient", P], R]:
    def method(self: "ContactClient", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._carry_out(plan(*args, **kwargs))

    dress(method, plan, plan.__name__)
    return method


def _iterated(
    pages: Callable[P, _pages.Pages],
) -> Callable[Concatenate["ContactClient", P], Iterator[Contact]]:
    def method(self: "ContactClient", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Contact]:
        remaining = pages(*args, **kwargs)
        while not remaining.is_over:
            yield from remaining.take(self._send(remaining.call))

    dress(method, pages, "list")
    return method


def _streamed(
    export: Callable[P, pb.ExportContactsRequest],
) -> Callable[Concatenate["ContactClient", P], "Export"]:
    def method(self: "ContactClient", /, *args: P.args, **kwargs: P.kwargs) -> "Export":
        return Export(self, export(*args, **kwargs))

    dress(method, export, "export")
    return method


def _watched(
    watch: Callable[P, pb.WatchContactsRequest],
) -> Callable[Concatenate["ContactClient", P], "Watch"]:
    def method(self: "ContactClient", /, *args: P.args, **kwargs: P.kwargs) -> "Watch":
        return Watch(self, watch(*args, **kwargs))

    dress(method, watch, "watch")
    return method


def _saved(
    export: Callable[P, pb.ExportContactsRequest],
) -> Callable[Concatenate["ContactClient", str | Path, P], ExportSummary]:
    def method(
        self: "ContactClient", path: str | Path, /, *args: P.args, **kwargs: P.kwargs
    ) -> ExportSummary:
        return self._save(Path(path), export(*args, **kwargs))

    dress(method, export, "export_to_file", "path")
    method.__doc__ = _export.TO_FILE
    return method


class ContactClient(Client):
    __doc__ = Client.__doc__

    create = _called(_operations.create)
    ensure = _called(_operations.ensure)
    get = _called(_operations.get)
    update = _called(_operations.update)
    delete = _called(_operations.delete)
    count = _called(_operations.count)
    purge = _called(_operations.purge)
    batch_get = _called(_batches.batch_get)
    batch_ensure = _called(_batches.batch_ensure)
    batch_delete = _called(_batches.batch_delete)
    list = _iterated(_pages.pages)
    export = _streamed(_export.export)
    export_to_file = _saved(_export.export)
    watch = _watched(_watch.watch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections, also those of the clients for other accounts and deadlines."""
        self._channel.close()

    def _open(self) -> None:
        address, options = self._connection.address, self._connection.options
        if self._connection.insecure:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, self._connection.credentials, options)
        self._stub: Any = ContactServiceStub(self._channel)

    def _carry_out(self, plan: Plan[R]) -> R:
        answer = None
        while True:
            try:
                call = plan.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer = self._send(call)

    def _send(self, call: Call) -> Any:
        patience = Patience(call, self._timeout)
        method = getattr(self._stub, call.method)
        while True:
            try:
                return method(call.request, metadata=self._metadata, timeout=patience.left)
            except grpc.RpcError as failed:
                pause = patience.pause(error_of(failed))
            time.sleep(pause)

    def _stream(self, request: pb.ExportContactsRequest) -> Any:
        return self._stub.ExportContacts(request, metadata=self._metadata)

    def _changes(self, request: pb.WatchContactsRequest) -> Any:
        return self._stub.WatchContacts(request, metadata=self._metadata)

    def _save(self, path: Path, request: pb.ExportContactsRequest) -> ExportSummary:
        with closing(ExportFile(path, request, self._account)) as file:
            export = Export(self, request)
            for part in export:
                file.add(part)
            file.finish(export.proven())
            return export.proven()


class Export(ExportState):
    """A running export; iterate over it once."""

    def __init__(self, client: ContactClient, request: pb.ExportContactsRequest) -> None:
        super().__init__(request)
        self._client = client

    def __iter__(self) -> Iterator[pb.ExportContactsResponse]:
        while self.summary is None:
            call = self._client._stream(self.begin())  # noqa: SLF001 - the client's other half
            try:
                for message in call:
                    if self.take(message):
                        yield message
            except grpc.RpcError as failed:
                pause = self.pause(error_of(failed))
            else:
                self.proven()
                return
            finally:
                call.cancel()
            time.sleep(pause)

    def text(self) -> Iterator[bytes]:
        """The bytes of the file, whole records at a time."""
        for part in self:
            yield part.data

    def contacts(self) -> Iterator[Contact]:
        """One contact after the other; the format must be CONTACTS."""
        for part in self:
            yield from part.contacts.contacts


class Watch(WatchState):
    """A running watch; iterate over it once."""

    def __init__(self, client: ContactClient, request: pb.WatchContactsRequest) -> None:
        super().__init__(request)
        self._client = client

    def __iter__(self) -> Iterator[pb.WatchContactsResponse]:
        while True:
            call = self._client._changes(self.request)  # noqa: SLF001 - the client's other half
            try:
                for message in call:
                    self.take(message)
                    yield message
                pause = self.pause_after_end()
            except grpc.RpcError as failed:
                pause = self.pause(error_of(failed))
            finally:
                call.cancel()
            time.sleep(pause)
