"""Traces of a running server, as a collector receives them."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.rpc.server import SERVICE
from tests.client import Client, request
from tests.collector import Collector, attributes, collecting
from tests.rpc.serving import NOBODY_LISTENS, serving

Traced: TypeAlias = Callable[..., AbstractAsyncContextManager[Client]]

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = ("traceparent", f"00-{TRACE}-{PARENT}-01")
LEFT_OUT = ("traceparent", f"00-{TRACE}-{PARENT}-00")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def traced(
    monkeypatch: pytest.MonkeyPatch,
    mongodb_uri: str,
    tokens: Path,
    any_token: str,
    account: str,
    collector: Collector,
) -> Traced:
    """A client of a server that sends its spans to the collector, all of them before it has ended."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)

    @asynccontextmanager
    async def serve(uri: str = mongodb_uri, **flags: Any) -> AsyncIterator[Client]:
        async with serving(uri, tokens=tokens, **flags) as (_, channel):
            yield Client(channel, any_token, account)

    return serve


def calls(collector: Collector) -> list[Span]:
    return [span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER]


async def test_a_call_is_a_span_of_its_callers_trace(traced: Traced, collector: Collector) -> None:
    """Below the caller's, named and described as the conventions say; below it, the database's part."""
    async with traced() as client:
        contact = await client.create()
        client.metadata.append(SAMPLED)
        await client.get(contact.id)
    [create, get] = calls(collector)
    asked = [span for span in collector.spans if span.parent_span_id == get.span_id]
    assert (get.trace_id.hex(), get.parent_span_id.hex()) == (TRACE, PARENT)
    assert get.name == f"{SERVICE.full_name}/GetContact"
    told = attributes(get)
    assert (told["rpc.system"], told["rpc.service"], told["rpc.method"]) == (
        "grpc",
        SERVICE.full_name,
        "GetContact",
    )
    assert told["rpc.grpc.status_code"] == 0
    assert create.parent_span_id == b""
    assert create.trace_id != get.trace_id
    assert [(span.name, span.kind) for span in asked] == [("mongodb by_id", Span.SPAN_KIND_CLIENT)]
    assert attributes(asked[0])["db.system.name"] == "mongodb"
    assert collector.resources()["service.name"] == "contactservice"


async def test_calls_at_once_have_their_own_children(traced: Traced, collector: Collector) -> None:
    """Sharing an operation with others does not make anybody's span part of another trace."""
    async with traced() as client:
        contact = await client.create()
        calls_ = [
            client.unary("GetContact")(
                request("GetContact", id=contact.id),
                metadata=[*client.metadata, ("traceparent", f"00-{number:032x}-{PARENT}-01")],
            )
            for number in range(1, 21)
        ]
        for call in calls_:
            await call
    gets = [span for span in calls(collector) if span.name.endswith("GetContact")]
    asked = [span for span in collector.spans if span.name == "mongodb by_id"]
    assert {(span.trace_id, span.span_id) for span in gets} == {
        (span.trace_id, span.parent_span_id) for span in asked
    }
    assert len({span.trace_id for span in gets}) == 20


async def test_an_export_is_one_span(traced: Traced, collector: Collector) -> None:
    """From its request to its summary, with a span for each reply that it read."""
    async with traced() as client:
        await client.create()
        client.metadata.append(SAMPLED)
        assert [message async for message in client.export()]
    [export] = [span for span in calls(collector) if span.name.endswith("ExportContacts")]
    asked = [span for span in collector.spans if span.parent_span_id == export.span_id]
    assert export.parent_span_id.hex() == PARENT
    assert len(asked) >= 2


async def test_failures_have_their_code_and_reason(traced: Traced, collector: Collector) -> None:
    """A span is an error where the service is at fault, not where the caller is."""
    async with traced(NOBODY_LISTENS, store_timeout=0.1) as client:
        await client.failure("GetContact", id="")
        await client.failure("EnsureContact", contact={"name": "Ann"})
    [wrong, away] = calls(collector)
    assert attributes(wrong)["rpc.grpc.status_code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert attributes(wrong)["error.type"] == "INVALID_FIELD"
    assert wrong.status.code == Status.STATUS_CODE_UNSET
    assert attributes(away)["rpc.grpc.status_code"] == grpc.StatusCode.UNAVAILABLE.value[0]
    assert away.status.code == Status.STATUS_CODE_ERROR
    assert not [span for span in (wrong, away) if span.events]


async def test_who_is_not_sampled_is_left_out(traced: Traced, collector: Collector) -> None:
    """The caller decides for its trace; looks at the database of the service's own are no traces."""
    async with traced() as client:
        client.metadata.append(LEFT_OUT)
        await client.create()
    assert collector.spans == []


async def test_a_collector_that_is_away_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, traced: Traced
) -> None:
    """Calls are answered, and the service ends; what was to be sent is lost."""
    with collecting() as gone:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", gone.endpoint)
    async with traced() as client:
        contact = await client.create()
    assert contact.id
