"""Reflection, asked as tools ask it: over a channel, in both versions, and by grpcurl itself."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2 as pb

from service.ops.memory import MemoryGuard, resident
from service.rpc.reflection import VERSIONS, add_reflection
from tests.rpc.serving import serving

SERVICE = "contactservice.v1.ContactService"
SERVICES = (SERVICE, "grpc.health.v1.Health")
PLENTY = MemoryGuard(None, resident)
COMMENT = "Returns the contact with the id."


@pytest.fixture(scope="module")
async def address() -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_reflection(server, SERVICES, 30, PLENTY)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_lists_the_services(address: str, version: str) -> None:
    """The list holds the services that were given, in order of their names."""
    [answer] = await ask(address, version, pb.ServerReflectionRequest(list_services="*"))
    assert [service.name for service in answer.list_services_response.service] == sorted(SERVICES)


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        (SERVICE, "contactservice/v1/contact_service.proto"),
        (f"{SERVICE}.GetContact", "contactservice/v1/contact_service.proto"),
        ("contactservice.v1.Contact", "contactservice/v1/contact.proto"),
        ("contactservice.v1.Contact.verified_at", "contactservice/v1/contact.proto"),
        ("contactservice.v1.ExportContactsResponse.part", "contactservice/v1/contact_service.proto"),
        ("contactservice.v1.ErrorReason", "contactservice/v1/errors.proto"),
        ("contactservice.v1.ERROR_REASON_INTERNAL", "contactservice/v1/errors.proto"),
        ("google.protobuf.Struct.FieldsEntry", "google/protobuf/struct.proto"),
        ("google.rpc.ErrorInfo", "google/rpc/error_details.proto"),
        ("google.rpc.BadRequest.FieldViolation", "google/rpc/error_details.proto"),
        ("grpc.health.v1.Health.Check", "grpc_health/v1/health.proto"),
    ],
)
async def test_finds_the_file_of_a_symbol(address: str, version: str, symbol: str, file: str) -> None:
    """Each kind of symbol is answered with its file first, then everything that the file imports."""
    [answer] = await ask(address, version, pb.ServerReflectionRequest(file_containing_symbol=symbol))
    files = descriptors(answer)
    assert files[0].name == file
    names = [each.name for each in files]
    assert len(names) == len(set(names))
    assert {imported for each in files for imported in each.dependency} <= set(names)


async def test_files_carry_comments_and_json_names(address: str, version: str) -> None:
    """A file of ours has the comments of its source and the JSON name of each field."""
    request = pb.ServerReflectionRequest(file_by_filename="contactservice/v1/contact_service.proto")
    [answer] = await ask(address, version, request)
    file = descriptors(answer)[0]
    assert any(COMMENT in place.leading_comments for place in file.source_code_info.location)
    [update] = [message for message in file.message_type if message.name == "UpdateContactRequest"]
    assert [field.json_name for field in update.field] == ["contact", "updateMask", "metadataMode"]


async def test_error_details_have_json_names(address: str, version: str) -> None:
    """The details of errors are shown with JSON names too, although their descriptors come without."""
    request = pb.ServerReflectionRequest(file_containing_symbol="google.rpc.BadRequest")
    [answer] = await ask(address, version, request)
    [bad] = [message for message in descriptors(answer)[0].message_type if message.name == "BadRequest"]
    assert [field.json_name for field in bad.field] == ["fieldViolations"]


@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": "contactservice/v1/none.proto"},
        {"file_containing_symbol": "contactservice.v1.ContactService.None"},
        {"file_containing_symbol": ""},
        {
            "file_containing_extension": {
                "containing_type": "contactservice.v1.Contact",
                "extension_number": 1,
            }
        },
        {"all_extension_numbers_of_type": "contactservice.v1.None"},
        {"all_extension_numbers_of_type": f"{SERVICE}.GetContact"},
    ],
)
async def test_what_is_not_there_is_answered(address: str, version: str, question: dict[str, Any]) -> None:
    """An unknown file, symbol or extension has an error as its answer, and the stream goes on."""
    request = pb.ServerReflectionRequest(host="here", **question)
    missing, listed = await ask(address, version, request, pb.ServerReflectionRequest(list_services=""))
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert missing.original_request == request
    assert missing.valid_host == "here"
    assert listed.HasField("list_services_response")


async def test_a_message_has_no_extensions(address: str, version: str) -> None:
    """A known message has an empty list of extension numbers."""
    name = "contactservice.v1.Contact"
    [answer] = await ask(address, version, pb.ServerReflectionRequest(all_extension_numbers_of_type=name))
    assert answer.all_extension_numbers_response == pb.ExtensionNumberResponse(base_type_name=name)


@pytest.mark.parametrize("raw", [b"", b"\xff\xff"], ids=["empty", "not a message"])
async def test_a_request_without_a_question_is_answered(address: str, version: str, raw: bytes) -> None:
    """A request that asks for nothing, or does not parse, has an error as its answer."""
    [answer] = await ask(address, version, raw)
    assert answer.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_a_service_without_a_descriptor_stops_the_start() -> None:
    """A service whose descriptor is nowhere to be found is refused before anything is served."""
    with pytest.raises(ValueError, match=r"no descriptor of some\.Service$"):
        add_reflection(grpc.aio.server(), [SERVICE, "some.Service"], 30, PLENTY)


async def test_grpcurl_describes_a_method_with_its_comment(address: str) -> None:
    """What grpcurl shows of a method begins with the comment that stands in the proto."""
    shown = await grpcurl(address, "describe", f"{SERVICE}.GetContact")
    assert COMMENT in shown
    assert "rpc GetContact ( .contactservice.v1.GetContactRequest )" in shown


async def test_grpcurl_describes_all_that_is_listed(address: str) -> None:
    """Without a symbol grpcurl describes every listed service, so each has its descriptor."""
    shown = await grpcurl(address, "describe")
    assert "service ContactService" in shown
    assert "service Health" in shown


async def grpcurl(address: str, *words: str) -> str:
    found = shutil.which("grpcurl") or shutil.which("grpcurl", path=Path.home() / "go" / "bin")
    if not found:
        pytest.skip("NOT TESTED: grpcurl is not installed")
    command = [found, "-plaintext", address, *words]
    result = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return str(result.stdout)


async def ask(address: str, version: str, *requests: bytes | Any) -> list[Any]:
    """The answers to the requests, all asked on one stream."""
    raw = [request if isinstance(request, bytes) else request.SerializeToString() for request in requests]
    async with grpc.aio.insecure_channel(address) as channel:
        method = channel.stream_stream(
            f"/{version}/ServerReflectionInfo",
            request_serializer=bytes,
            response_deserializer=pb.ServerReflectionResponse.FromString,
        )
        return [answer async for answer in method(iter(raw), timeout=10)]


def descriptors(answer: Any) -> list[FileDescriptorProto]:
    return [
        FileDescriptorProto.FromString(raw) for raw in answer.file_descriptor_response.file_descriptor_proto
    ]


@pytest.mark.parametrize("reflection", [True, False])
async def test_reflection_and_health_ask_for_no_credentials(
    mongodb_uri: str, tokens: Path, any_token: str, version: str, reflection: bool
) -> None:
    """The contract is public; --no-reflection closes that door, and health stays open."""
    async with serving(mongodb_uri, tokens=tokens, reflection=reflection) as (server, channel):
        health = await HealthStub(channel).Check(HealthCheckRequest(service=SERVICE), timeout=10)
        assert health.status == HealthCheckResponse.SERVING
        request = pb.ServerReflectionRequest(list_services="*")
        if reflection:
            assert await ask(str(server.address), version, request)
        else:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(str(server.address), version, request)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert any_token
