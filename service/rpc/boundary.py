"""The boundary around every RPC: who calls, for whom, what may they, what did they send, what went wrong.

Requests arrive as bytes and are parsed here: left to gRPC, one that does not parse would be answered UNKNOWN
with the text of an exception. Servicer methods behind it hold no try, no abort, no log line.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from service.domain import births
from service.domain.errors import CredentialsInvalid, ShuttingDown
from service.ops.traces import CallSpan, Tracing
from service.rpc import answers, audited, auth
from service.rpc.audit import Audit
from service.rpc.call import Call, Method
from service.rpc.call_counts import CallCounts
from service.rpc.inlet import Inlet
from service.rpc.limits import Limits
from service.rpc.outlet import Context, Exported, Outlet
from service.rpc.permits import Permits
from service.rpc.status import WireError, wire_error

_DRAIN_MOMENT_SECONDS = 0.1
_DRAIN_ROUNDS = 20

Handler: TypeAlias = Any  # grpc.RpcMethodHandler, generic in its types only
Behaviour = Callable[[Any, Any], Awaitable[Any]]

# What the client sent before its request. gRPC has it at hand for the interceptor, and converts it anew for
# each question to the context.
_metadata: ContextVar[Any] = ContextVar("metadata")


class Onlookers(NamedTuple):
    """Who is told of every call, where there is somebody."""

    tracing: Tracing | None = None
    audit: Audit | None = None


NOBODY = Onlookers()


class Boundary(grpc.aio.ServerInterceptor):
    """The one interceptor. Other services (health, reflection) pass untouched: they are open."""

    def __init__(
        self,
        service: ServiceDescriptor,
        credentials: auth.Credentials,
        limits: Limits,
        stall_seconds: float,
        onlookers: Onlookers = NOBODY,
    ) -> None:
        unprotected = {method.name for method in service.methods} - auth.RPC_SCOPES.keys()
        if unprotected:
            raise RuntimeError(f"no scope is named for {', '.join(sorted(unprotected))}")
        self._methods = {f"/{service.full_name}/{method.name}": Method(method) for method in service.methods}
        self.refusals = dict.fromkeys(answers.REFUSALS, 0)
        self.exported = Exported()
        self.watched = Exported()
        self._handlers: dict[str, Handler] = {}
        self._credentials = credentials
        self._limits = limits
        self._stall_seconds = stall_seconds
        self._permits = Permits()
        self._tracing, self._audit = onlookers
        self._draining = False
        self._refused = 0
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        path = handler_call_details.method
        if path not in self._methods:
            return await continuation(handler_call_details)
        if path not in self._handlers:
            handler = await continuation(handler_call_details)
            self._handlers[path] = self._bounded(self._methods[path], handler)
        _metadata.set(handler_call_details.invocation_metadata)
        return self._handlers[path]

    async def follow(self) -> None:
        """Ends streams whose credentials have expired or been withdrawn; runs until it is cancelled."""
        await self._permits.follow()

    @property
    def counts(self) -> list[CallCounts]:
        """Of each method, whether it was called or not."""
        return [method.counts for method in self._methods.values()]

    async def drain(self) -> None:
        """From now on new calls are refused with ShuttingDown; returns when for a moment none came.

        gRPC answers what arrives while it stops with CANCELLED, which no client tries again. Watches end at
        once: they would not by themselves.
        """
        self._draining = True
        self._permits.withdraw_endless(ShuttingDown())
        for _ in range(_DRAIN_ROUNDS):
            seen = self._refused
            await asyncio.sleep(_DRAIN_MOMENT_SECONDS)
            if seen == self._refused:
                return

    async def idle(self, seconds: float | None = None) -> None:
        """Returns when no call is in its servicer any more, or when the time is up.

        gRPC's own stop may return earlier, and waits for streams of health and reflection, too.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    def end_streams(self) -> None:
        """Streams under way end with ShuttingDown. What they sent last has the token that continues them."""
        self._permits.withdraw_all(ShuttingDown())

    def _bounded(self, method: Method, handler: Any) -> Handler:
        if not method.streams:

            async def unary(raw: bytes, context: Context) -> Any:
                call = self._begin(method)
                try:
                    account = self._enter(call, context) or await self._enter_later(call, context)
                    request = self._read(call, account, raw)
                    await self._marked(call, request)
                    answer = await handler.unary_unary(request, context)
                except asyncio.CancelledError:
                    call.code = "CANCELLED"
                    raise
                except Exception as error:  # noqa: BLE001 (the one place that catches all)
                    wire = self._told(call, error)
                    aborting = context.abort(wire.code, wire.message, wire.trailing_metadata)
                    # gRPC's call keeps its AbortError, which keeps this frame, which has to forget the call.
                    # Circles of forty objects hold everybody up when ten thousand are collected at once.
                    del raw, context
                else:
                    method.counts.sent += 1
                    return answers.told_apart(call, answer)
                finally:
                    self._end(call)
                return await aborting

            return grpc.unary_unary_rpc_method_handler(unary, None, answers.serialized)

        if method.takes_stream:

            async def exchange(_: object, context: Context) -> None:
                await self._stream(method, context, partial(self._exchange, handler.stream_stream))

            return grpc.stream_stream_rpc_method_handler(exchange, None, answers.serialized)

        async def stream(raw: bytes, context: Context) -> None:
            await self._stream(method, context, partial(self._export, handler.unary_stream, raw))

        return grpc.unary_stream_rpc_method_handler(stream, None, answers.serialized)

    async def _stream(
        self, method: Method, context: Context, serve: Callable[[Call, Context], Awaitable[None]]
    ) -> None:
        call = self._begin(method)
        try:
            await serve(call, context)
        except asyncio.CancelledError:
            call.code = "CANCELLED"
            raise
        except grpc.aio.InternalError:
            # A blocked write to a client that has gone: its cancellation, not our fault.
            call.code = "CANCELLED"
        except Exception as error:  # noqa: BLE001 (the one place that catches all)
            # Not abort: on a stalled reader it would hang until the client drains.
            wire = self._told(call, error)
            context.set_trailing_metadata(wire.trailing_metadata)
            context.set_code(wire.code)
            context.set_details(wire.message)
        finally:
            self._end(call)

    async def _export(self, serve: Behaviour, raw: bytes, call: Call, context: Context) -> None:
        account = self._enter(call, context) or await self._enter_later(call, context)
        request = self._read(call, account, raw)
        await self._started(call, request)
        method = call.method
        sent = self.watched if method.is_endless else self.exported
        outlet = Outlet(context, self._stall_seconds, call, sent)
        check = self._check(method, context)
        with self._permits.while_allowed(check, is_endless=method.is_endless), sent.stream():
            await serve(request, outlet)

    async def _exchange(self, serve: Behaviour, call: Call, context: Context) -> None:
        account = self._enter(call, context) or await self._enter_later(call, context)
        audited.items.set(call.items)
        await self._started(call)
        seconds, tell = self._stall_seconds, self._audit.items if self._audit else None
        requests = Inlet(context, seconds, call, partial(self._limits.let_in, call.method, account))
        with self._permits.while_allowed(self._check(call.method, context)):
            await serve(requests, Outlet(context, seconds, call, tell=tell))

    def _begin(self, method: Method) -> Call:
        self._calls += 1
        self._idle.clear()
        call = Call(method)
        if self._tracing is not None:
            call.span = self._traced(self._tracing, method)
        return call

    def _traced(self, tracing: Tracing, method: Method) -> CallSpan:
        traceparent = dict(_metadata.get()).get("traceparent")
        _, service, name = method.counts.labels
        return tracing.call(service, name, None if traceparent is None else str(traceparent))

    def _read(self, call: Call, account: str, raw: bytes) -> Any:
        method = call.method
        request = method.parsed(raw)
        self._limits.count_items(method, account, request)
        if method.audited:
            call.contact_id = audited.NAMED[method.name](request)
            if method.is_of_many:
                audited.items.set(call.items)
        auth.authorise_request(method.name, request)
        return request

    # None: the caller is not known before keys have been fetched.
    def _enter(self, call: Call, context: Context) -> str | None:
        if self._draining:
            self._refused += 1
            raise ShuttingDown
        metadata = dict(_metadata.get())
        try:
            principal = auth.authenticate(self._credentials, metadata, context.auth_context)
        except auth.KeysWanted as wanted:
            call.keys_fetched = wanted.fetched
            return None
        call.principal = principal.name
        call.account = account = auth.enter(principal, metadata).account
        call.release = self._limits.enter(call.method, account)
        auth.authorise(principal, call.method.name)
        return account

    async def _enter_later(self, call: Call, context: Context) -> str:
        if call.keys_fetched:
            await call.keys_fetched()
        account = self._enter(call, context)
        if account is None:
            raise CredentialsInvalid
        return account

    async def _marked(self, call: Call, request: Any) -> None:
        if call.method.is_by_filter and self._audit is not None:
            await self._audit.mark(call, request)

    async def _started(self, call: Call, request: Any = None) -> None:
        if call.audited and self._audit is not None:
            await self._audit.start(call, request)

    def _check(self, method: Method, context: Context) -> Callable[[], None]:
        metadata = dict(_metadata.get())
        return lambda: auth.check(self._credentials, method.name, metadata, context.auth_context)

    def _told(self, call: Call, error: Exception) -> WireError:
        told = call.failed(error)
        if told.reason in self.refusals:
            self.refusals[told.reason] += 1
        return wire_error(told)

    def _end(self, call: Call) -> None:
        self._calls -= 1
        if not self._calls:
            self._idle.set()
        call.end()
        if call.audited and self._audit is not None:
            # Of a birth that was not waited for, or that failed, nobody knows whether it happened.
            call.contact_id = call.contact_id or births.asked.get()
            self._audit.end(call)
