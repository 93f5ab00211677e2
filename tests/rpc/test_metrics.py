"""Metrics of a running server: the fixed names, and that each call is counted once, where it belongs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from service.ops.metrics import FAMILIES
from service.rpc.call_counts import CODES
from service.rpc.server import SERVICE, Server
from tests.client import Client
from tests.rpc.serving import serving
from tests.scrape import Samples, families_of, get, samples

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
NAMES = [
    "grpc_server_started_total",
    "grpc_server_handled_total",
    "grpc_server_handling_seconds",
    "grpc_server_msg_received_total",
    "grpc_server_msg_sent_total",
    "contactservice_calls_in_flight",
    "contactservice_refusals_total",
    "contactservice_limit_refusals_total",
    "contactservice_ensures_total",
    "contactservice_export_rows_total",
    "contactservice_export_bytes_total",
    "contactservice_export_streams",
    "contactservice_watch_changes_total",
    "contactservice_watch_streams",
    "contactservice_batch_keys",
    "contactservice_database_seconds",
    "contactservice_database_operations",
    "contactservice_database_slots",
    "contactservice_database_up",
    "contactservice_deletion_jobs_open",
    "contactservice_deletion_oldest_open_seconds",
    "contactservice_event_loop_lag_seconds",
    "contactservice_event_loop_work_seconds",
    "contactservice_reload_failures_total",
    "contactservice_reload_failing",
    "contactservice_certificate_expires_seconds",
    "contactservice_memory_limit_bytes",
    "contactservice_build_info",
]


class Watched:
    """A server whose metrics are read, and how they grow."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server = server
        self.client = client
        self._before = Samples()

    async def begin(self) -> None:
        self._before = await samples(self.server.telemetry.ops_address)

    async def growth(self) -> Samples:
        """Of the samples that changed since `begin`."""
        now = await samples(self.server.telemetry.ops_address)
        changes = {name: value - self._before.get(name, 0) for name, value in now.items()}
        return Samples({name: change for name, change in changes.items() if change})


@pytest_asyncio.fixture(scope="module")
async def server(
    mongodb_uri: str,
    tokens: Path,
    any_token: str,  # noqa: ARG001
) -> AsyncIterator[tuple[Server, grpc.aio.Channel]]:
    async with serving(mongodb_uri, tokens=tokens, ops_address="127.0.0.1:0") as both:
        yield both


@pytest_asyncio.fixture
async def watched(server: tuple[Server, grpc.aio.Channel], any_token: str, account: str) -> Watched:
    watched = Watched(server[0], Client(server[1], any_token, account))
    await watched.begin()
    return watched


async def test_the_names_are_the_fixed_ones(watched: Watched) -> None:
    """What dashboards and alerts rely on, in both formats, with the usual metrics of a process."""
    assert sorted(FAMILIES) == sorted(NAMES)
    page = await get(watched.server.telemetry.ops_address, "/metrics")
    assert page.content_type.startswith("text/plain; version=0.0.4")
    assert families_of(page.text) == set(NAMES)
    assert "process_resident_memory_bytes" in page.text
    page = await get(watched.server.telemetry.ops_address, "/metrics", OPENMETRICS)
    assert page.content_type.startswith("application/openmetrics-text")
    assert page.text.endswith("# EOF\n")
    assert families_of(page.text) == {name.removesuffix("_total") for name in NAMES}


async def test_every_rpc_and_code_is_there_before_it_is_seen(watched: Watched) -> None:
    """A rate over a series that begins with its first error would not see that error."""
    now = await samples(watched.server.telemetry.ops_address)
    for method in SERVICE.methods:
        kinds = {(False, False): "unary", (False, True): "server_stream", (True, True): "bidi_stream"}
        kind = kinds[method.client_streaming, method.server_streaming]
        for code in CODES.values():
            assert now.of("grpc_server_handled_total", method.name, SERVICE.full_name, kind, code) >= 0


async def test_a_call_is_counted_once(watched: Watched) -> None:
    """Started, one message in, one out, handled with its code, and its time."""
    contact = await watched.client.create(name="Ann")
    await watched.begin()
    for _ in range(3):
        await watched.client.get(contact.id)
    growth = await watched.growth()
    labels = ("GetContact", SERVICE.full_name, "unary")
    for name in ("started_total", "msg_received_total", "msg_sent_total", "handling_seconds_count"):
        assert growth.of(f"grpc_server_{name}", *labels) == 3
    assert growth.of("grpc_server_handled_total", *labels, "OK") == 3
    assert growth.of("grpc_server_handling_seconds_bucket", *labels, "+Inf") == 3
    assert 0 < growth.of("grpc_server_handling_seconds_sum", *labels) < 60
    others = [name for name in growth if name.startswith("grpc_server") and "GetContact" not in name]
    assert others == []


async def test_a_failed_call_is_counted_with_its_code(watched: Watched) -> None:
    """No message goes out, and none of the labels tells of the caller."""
    assert (await watched.client.failure("GetContact", id="nonsense")).code == "NOT_FOUND"
    growth = await watched.growth()
    labels = ("GetContact", SERVICE.full_name, "unary")
    assert growth.of("grpc_server_handled_total", *labels, "NotFound") == 1
    assert growth.of("grpc_server_msg_received_total", *labels) == 1
    assert not [name for name in growth if name.startswith("grpc_server_msg_sent_total")]


async def test_refusals_are_counted_by_reason(watched: Watched) -> None:
    """Who may not call is seen, apart from calls that are merely wrong."""
    good = [*watched.client.metadata]
    for metadata in ([], [("authorization", "Bearer nobody")], good[:1]):
        watched.client.metadata = metadata
        await watched.client.failure("GetContact", id="x")
    watched.client.metadata = good
    await watched.client.failure("GetContact", id="x")
    growth = await watched.growth()
    found = {name.split()[1]: value for name, value in growth.items() if "refusals" in name}
    assert found == {"CREDENTIALS_MISSING": 1, "CREDENTIALS_INVALID": 1, "ACCOUNT_NOT_ALLOWED": 1}


async def test_ensures_are_counted_by_outcome(watched: Watched) -> None:
    """One created, the other found."""
    for _ in range(3):
        await watched.client.ensure(email="ann@example.com")
    growth = await watched.growth()
    assert growth.of("contactservice_ensures_total", "created") == 1
    assert growth.of("contactservice_ensures_total", "found") == 2


async def test_exports_are_counted_in_rows_bytes_and_messages(watched: Watched) -> None:
    """As they are sent: rows are contacts, bytes those of the messages."""
    for number in range(3):
        await watched.client.create(name=str(number))
    await watched.begin()
    messages = [message async for message in watched.client.export()]
    growth = await watched.growth()
    assert growth.of("contactservice_export_rows_total") == 3
    assert growth.of("contactservice_export_bytes_total") == sum(each.ByteSize() for each in messages)
    labels = ("ExportContacts", SERVICE.full_name, "server_stream")
    assert growth.of("grpc_server_msg_sent_total", *labels) == len(messages)
    assert growth.of("grpc_server_handled_total", *labels, "OK") == 1


async def test_what_is_under_way_is_seen(watched: Watched) -> None:
    """A stream that nobody reads is one call in flight and one export, until it has ended."""
    for _ in range(40):
        await watched.client.create(preferences="x" * 30_000)
    export = aiter(watched.client.export())
    await anext(export)
    growth = await watched.growth()
    assert growth.of("contactservice_calls_in_flight") == 1
    assert growth.of("contactservice_export_streams") == 1
    async for _ in export:
        pass
    growth = await watched.growth()
    assert "contactservice_calls_in_flight" not in growth
    assert "contactservice_export_streams" not in growth


async def test_watches_are_counted_apart_from_exports(watched: Watched) -> None:
    """While one is under way, and the changes that it has sent."""
    async with watched.client.watch() as watch:
        await watch.read()
        await watched.client.create()
        await watch.read()
        growth = await watched.growth()
    assert growth.of("contactservice_watch_streams") == 1
    assert growth.of("contactservice_watch_changes_total") == 1
    assert "contactservice_export_streams" not in growth
    assert "contactservice_export_rows_total" not in growth


async def test_batches_are_counted_by_their_keys(watched: Watched) -> None:
    """The sum is the number of keys that were asked for, the count that of the operations."""
    contact = await watched.client.create()
    await watched.begin()
    await watched.client.get(contact.id)
    growth = await watched.growth()
    assert growth.of("contactservice_batch_keys_sum", "by_id") == 1
    assert growth.of("contactservice_batch_keys_bucket", "by_id", "1") == 1
    contacts = await asyncio.gather(*(watched.client.create(name=str(number)) for number in range(30)))
    await watched.begin()
    await asyncio.gather(*(watched.client.get(each.id) for each in contacts))
    growth = await watched.growth()
    assert growth.of("contactservice_batch_keys_sum", "by_id") == 30
    assert growth.of("contactservice_batch_keys_count", "by_id") <= 30


async def test_the_database_is_watched(watched: Watched) -> None:
    """Operations with their times; it is up; and how many may be under way."""
    await watched.client.create()
    growth = await watched.growth()
    assert growth.of("contactservice_database_seconds_count") >= 1
    assert growth.of("contactservice_database_seconds_sum") > 0
    now = await samples(watched.server.telemetry.ops_address)
    assert now.of("contactservice_deletion_jobs_open") >= 0
    assert now.of("contactservice_database_up") == 1
    assert now.of("contactservice_database_slots") == 64


async def test_build_and_loop_are_told(watched: Watched) -> None:
    """Which versions run, and how late the loop is."""
    page = (await get(watched.server.telemetry.ops_address, "/metrics")).text
    assert f'grpc="{grpc.__version__}"' in page
    await asyncio.sleep(0)
    now = await samples(watched.server.telemetry.ops_address)
    assert now.of("contactservice_event_loop_lag_seconds_count") > 0


async def test_no_label_is_of_a_caller(watched: Watched, account: str) -> None:
    """Neither account nor id nor fingerprint stands on the page."""
    contact = await watched.client.create(fingerprint="oauth|canary")
    await watched.client.failure("GetContact", id=f"{contact.id}x")
    page = (await get(watched.server.telemetry.ops_address, "/metrics")).text
    for text in (account, contact.id, "oauth|canary"):
        assert text not in page


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_probes_of_a_serving_server(watched: Watched, path: str) -> None:
    """200 with a JSON object."""
    answer = await get(watched.server.telemetry.ops_address, path)
    assert (answer.status, answer.content_type.split(";")[0]) == (200, "application/json")
    assert answer.facts["status"] in {"alive", "ready"}


def test_every_metric_is_explained() -> None:
    """docs/metrics.md has a line for each name, with its labels."""
    lines = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text().splitlines()
    rows = {line.split("|")[1].strip(" `"): line.split("|")[2] for line in lines if line.startswith("| `")}
    for name, family in FAMILIES.items():
        told = [label for label in family.labels if not label.startswith("grpc") or label == "grpc_code"]
        assert [label for label in told if label not in rows[name]] == []
