"""The client for asyncio: carries out plans on a channel of grpc.aio."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from contactservice import _batches, _export, _operations, _pages, _watch
from contactservice._client import Client
from contactservice._connection import Connection
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


def _awaited(
    plan: Callable[P, Plan[R]],
) -> Callable[Concatenate["AsyncContactClient", P], Coroutine[Any, Any, R]]:
    async def method(self: "AsyncContactClient", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._carry_out(plan(*args, **kwargs))

    dress(method, plan, plan.__name__)
    return method


def _iterated(
    pages: Callable[P, _pages.Pages],
) -> Callable[Concatenate["AsyncContactClient", P], AsyncIterator[Contact]]:
    async def method(
        self: "AsyncContactClient", /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncIterator[Contact]:
        remaining = pages(*args, **kwargs)
        while not remaining.is_over:
            for contact in remaining.take(await self._send(remaining.call)):
                yield contact

    dress(method, pages, "list")
    return method


def _streamed(
    export: Callable[P, pb.ExportContactsRequest],
) -> Callable[Concatenate["AsyncContactClient", P], "AsyncExport"]:
    def method(self: "AsyncContactClient", /, *args: P.args, **kwargs: P.kwargs) -> "AsyncExport":
        return AsyncExport(self, export(*args, **kwargs))

    dress(method, export, "export")
    return method


def _watched(
    watch: Callable[P, pb.WatchContactsRequest],
) -> Callable[Concatenate["AsyncContactClient", P], "AsyncWatch"]:
    def method(self: "AsyncContactClient", /, *args: P.args, **kwargs: P.kwargs) -> "AsyncWatch":
        return AsyncWatch(self, watch(*args, **kwargs))

    dress(method, watch, "watch")
    return method


def _saved(
    export: Callable[P, pb.ExportContactsRequest],
) -> Callable[Concatenate["AsyncContactClient", str | Path, P], Coroutine[Any, Any, ExportSummary]]:
    async def method(
        self: "AsyncContactClient", path: str | Path, /, *args: P.args, **kwargs: P.kwargs
    ) -> ExportSummary:
        return await self._save(Path(path), export(*args, **kwargs))

    dress(method, export, "export_to_file", "path")
    method.__doc__ = _export.TO_FILE
    return method


class _Wire:
    """The channel, made at the first call: grpc.aio binds it to the loop that runs then."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def channel(self) -> grpc.aio.Channel:
        address, options = self._connection.address, self._connection.options
        if self._connection.insecure:
            return grpc.aio.insecure_channel(address, options)
        return grpc.aio.secure_channel(address, self._connection.credentials, options)

    @cached_property
    def stub(self) -> Any:
        return ContactServiceStub(self.channel)

    async def close(self) -> None:
        if "channel" in vars(self):
            await self.channel.close()


class AsyncContactClient(Client):
    __doc__ = Client.__doc__

    create = _awaited(_operations.create)
    ensure = _awaited(_operations.ensure)
    get = _awaited(_operations.get)
    update = _awaited(_operations.update)
    delete = _awaited(_operations.delete)
    count = _awaited(_operations.count)
    purge = _awaited(_operations.purge)
    batch_get = _awaited(_batches.batch_get)
    batch_ensure = _awaited(_batches.batch_ensure)
    batch_delete = _awaited(_batches.batch_delete)
    list = _iterated(_pages.pages)
    export = _streamed(_export.export)
    export_to_file = _saved(_export.export)
    watch = _watched(_watch.watch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections, also those of the clients for other accounts and deadlines."""
        await self._wire.close()

    def _open(self) -> None:
        self._wire = _Wire(self._connection)

    async def _carry_out(self, plan: Plan[R]) -> R:
        answer = None
        while True:
            try:
                call = plan.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer = await self._send(call)

    async def _send(self, call: Call) -> Any:
        patience = Patience(call, self._timeout)
        method = getattr(self._wire.stub, call.method)
        while True:
            try:
                return await method(call.request, metadata=self._metadata, timeout=patience.left)
            except grpc.aio.AioRpcError as failed:
                pause = patience.pause(error_of(failed))
            await asyncio.sleep(pause)

    def _stream(self, request: pb.ExportContactsRequest) -> Any:
        return self._wire.stub.ExportContacts(request, metadata=self._metadata)

    def _changes(self, request: pb.WatchContactsRequest) -> Any:
        return self._wire.stub.WatchContacts(request, metadata=self._metadata)

    async def _save(self, path: Path, request: pb.ExportContactsRequest) -> ExportSummary:
        with closing(ExportFile(path, request, self._account)) as file:
            export = AsyncExport(self, request)
            async for part in export:
                await asyncio.to_thread(file.add, part)
            await asyncio.to_thread(file.finish, export.proven())
            return export.proven()


class AsyncExport(ExportState):
    """A running export; iterate over it once."""

    def __init__(self, client: AsyncContactClient, request: pb.ExportContactsRequest) -> None:
        super().__init__(request)
        self._client = client

    async def __aiter__(self) -> AsyncIterator[pb.ExportContactsResponse]:
        while self.summary is None:
            call = self._client._stream(self.begin())  # noqa: SLF001 - the client's other half
            try:
                async for message in call:
                    if self.take(message):
                        yield message
            except grpc.aio.AioRpcError as failed:
                pause = self.pause(error_of(failed))
            else:
                self.proven()
                return
            finally:
                call.cancel()
            await asyncio.sleep(pause)

    async def text(self) -> AsyncIterator[bytes]:
        """The bytes of the file, whole records at a time."""
        async for part in self:
            yield part.data

    async def contacts(self) -> AsyncIterator[Contact]:
        """One contact after the other; the format must be CONTACTS."""
        async for part in self:
            for contact in part.contacts.contacts:
                yield contact


class AsyncWatch(WatchState):
    """A running watch; iterate over it once."""

    def __init__(self, client: AsyncContactClient, request: pb.WatchContactsRequest) -> None:
        super().__init__(request)
        self._client = client

    async def __aiter__(self) -> AsyncIterator[pb.WatchContactsResponse]:
        while True:
            call = self._client._changes(self.request)  # noqa: SLF001 - the client's other half
            try:
                async for message in call:
                    self.take(message)
                    yield message
                pause = self.pause_after_end()
            except grpc.aio.AioRpcError as failed:
                pause = self.pause(error_of(failed))
            finally:
                call.cancel()
            await asyncio.sleep(pause)
