"""Server reflection, v1 and v1alpha: tells tools such as grpcurl what is served, comments included.

It answers from the committed descriptor set, since the stubs carry no comments and no JSON names.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2 as described
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2 as pb

from service.domain.errors import RateLimited
from service.ops.memory import MemoryGuard
from service.rpc.open_services import OpenStream, OpenStreams

# The two versions differ in the name of the package alone: same method, same messages, same numbers.
VERSIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_DESCRIPTORS = Path(__file__).with_name("descriptors.binpb")
_PARTS = ("message_type", "nested_type", "enum_type", "service", "field", "oneof_decl", "method")
# An answer may be a quarter of a MiB, and stays for as long as its reader takes nothing.
_STREAMS = 64
_STREAMS_OF_CONNECTION = 16
_MEMORY_SECONDS = 1.0


def add_reflection(
    server: grpc.aio.Server, services: Sequence[str], stall_seconds: float, memory: MemoryGuard
) -> None:
    """Serves reflection in both versions and lists these services; raises ValueError for an unknown one."""
    streams = OpenStreams(_STREAMS, _STREAMS_OF_CONNECTION, stall_seconds)
    methods = {"ServerReflectionInfo": streams.handler(Reflection(services, memory).ServerReflectionInfo)}
    both = [grpc.method_handlers_generic_handler(name, methods) for name in VERSIONS]
    server.add_generic_rpc_handlers(both)


class Reflection:
    """Finds the file of a symbol among ours, those of the health protocol and those of the error details."""

    def __init__(self, services: Sequence[str], memory: MemoryGuard) -> None:
        self._memory = memory
        self._services = sorted(services)
        self._files = {file.name: file for file in _all_files()}
        self._file_of: dict[str, str] = {}
        self._messages: set[str] = set()
        for file in self._files.values():
            for name, part in _symbols(file.package, file):
                self._file_of[name] = file.name
                if isinstance(part, described.DescriptorProto):
                    self._messages.add(name)
        if unknown := [name for name in self._services if name not in self._file_of]:
            raise ValueError(f"no descriptor of {', '.join(unknown)}")

    async def ServerReflectionInfo(self, stream: OpenStream) -> None:  # noqa: N802 - the name of the RPC
        while (raw := await stream.read()) is not None:
            request = _parsed(raw)
            if self._memory.is_gone:
                raise RateLimited("This replica has no memory to spare.", _MEMORY_SECONDS)
            answer = self._answer(request)
            echo = pb.ServerReflectionResponse(valid_host=request.host, original_request=request, **answer)
            await stream.write(echo)

    def _answer(self, request: pb.ServerReflectionRequest) -> dict[str, Any]:
        kind = request.WhichOneof("message_request")
        wanted = getattr(request, kind) if kind else None
        match kind:
            case "list_services":
                listed = [pb.ServiceResponse(name=name) for name in self._services]
                return {"list_services_response": pb.ListServiceResponse(service=listed)}
            case "file_by_filename" if wanted in self._files:
                return {"file_descriptor_response": self._with_imports(wanted)}
            case "file_containing_symbol" if wanted in self._file_of:
                return {"file_descriptor_response": self._with_imports(self._file_of[wanted])}
            case "all_extension_numbers_of_type" if wanted in self._messages:
                # Nothing that is served has extensions.
                return {"all_extension_numbers_response": pb.ExtensionNumberResponse(base_type_name=wanted)}
            case None:
                return _error(grpc.StatusCode.INVALID_ARGUMENT, "The request asks for nothing that is known.")
            case _:
                return _error(grpc.StatusCode.NOT_FOUND, "There is no such file, symbol or extension.")

    def _with_imports(self, name: str) -> pb.FileDescriptorResponse:
        # The file that was asked for comes first: clients take it for the answer, the others for its imports.
        names = [name]
        for each in names:
            names += [imported for imported in self._files[each].dependency if imported not in names]
        return pb.FileDescriptorResponse(
            file_descriptor_proto=[self._files[each].SerializeToString() for each in names]
        )


def _parsed(request: bytes) -> pb.ServerReflectionRequest:
    try:
        return pb.ServerReflectionRequest.FromString(request)
    except DecodeError:
        # Raised from here, it would end the stream as UNKNOWN. An empty request has an answer of its own.
        return pb.ServerReflectionRequest()


def _error(code: grpc.StatusCode, message: str) -> dict[str, Any]:
    return {"error_response": pb.ErrorResponse(error_code=code.value[0], error_message=message)}


def _all_files() -> Iterator[described.FileDescriptorProto]:
    yield from _pooled([error_details_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR])
    # Last, so that a file that is in both has its comments.
    yield from described.FileDescriptorSet.FromString(_DESCRIPTORS.read_bytes()).file


def _pooled(files: Iterable[FileDescriptor]) -> Iterator[described.FileDescriptorProto]:
    for file in files:
        found = described.FileDescriptorProto.FromString(file.serialized_pb)
        for _, part in _symbols(found.package, found):
            if isinstance(part, described.FieldDescriptorProto):
                first, *others = part.name.split("_")
                part.json_name = first + "".join(word.capitalize() for word in others)
        yield found
        yield from _pooled(file.dependencies)


def _symbols(scope: str, whole: Any) -> Iterator[tuple[str, Any]]:
    for part in (part for name in _PARTS for part in getattr(whole, name, ())):
        full_name = f"{scope}.{part.name}"
        yield full_name, part
        yield from _symbols(full_name, part)
        if isinstance(part, described.EnumDescriptorProto):
            # The values of an enum are its siblings, not its members.
            yield from ((f"{scope}.{value.name}", value) for value in part.value)
