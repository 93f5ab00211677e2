"""The comments of the protos, which are the reference: complete, true by name, with examples that parse."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from contactservice.v1 import contact_service_pb2
from tests.test_stubs import DESCRIPTORS, SERVICE, program, run

PARTS = ("message_type", "nested_type", "field", "oneof_decl", "enum_type", "value", "service", "method")


def test_every_element_has_a_comment() -> None:
    """No message, field, oneof, enum, value, service or method of ours is without a comment."""
    silent = [name for name, comment in commented() if not comment.strip()]
    assert silent == []


def test_every_method_names_its_scope() -> None:
    """The comment of each method says which scope a caller needs."""
    silent = [name for name, comment in method_comments() if not re.search(r"Scope:\s+`[a-z]+`", comment)]
    assert silent == []


def test_comments_name_only_what_exists() -> None:
    """Every name in capitals that a comment uses is a reason, an enum value or a gRPC code."""
    values = {name.rpartition(".")[2] for name, _ in commented()}
    known = values | {value.removeprefix("ERROR_REASON_") for value in values}
    known |= {code.name for code in grpc.StatusCode}
    comments = "\n".join(comment for _, comment in commented())
    assert set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", comments)) <= known


def test_every_example_parses() -> None:
    """The JSON example in the comment of each method is a request of that method."""
    methods = contact_service_pb2.DESCRIPTOR.services_by_name["ContactService"].methods_by_name
    assert [name for name, _ in examples()] == list(methods)
    for name, example in examples():
        if "updateMask" in example:
            # grpcurl takes the mask as the message that it is, protobuf's own JSON as one text.
            example["updateMask"] = FieldMask(**example["updateMask"]).ToJsonString()
        request = getattr(contact_service_pb2, methods[name].input_type.name)()
        json_format.ParseDict(example, request)
        assert request.ByteSize() > 0


async def test_grpcurl_takes_every_example() -> None:
    """The tool grpcurl sends each example as it stands; a server without methods answers that it has none."""
    grpcurl = program("grpcurl", Path.home() / "go" / "bin")
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        for name, example in examples():
            words = ["-plaintext", "-protoset", str(DESCRIPTORS), "-d", json.dumps(example)]
            target = [f"127.0.0.1:{port}", f"{SERVICE}/{name}"]
            result = await asyncio.to_thread(run, grpcurl, *words, *target)
            assert "Code: Unimplemented" in result.stderr
    finally:
        await server.stop(None)


def our_files() -> list[FileDescriptorProto]:
    described = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    return [file for file in described.file if file.package == "contactservice.v1"]


def commented() -> Iterator[tuple[str, str]]:
    """Every element of our files by its full name, with its comment."""
    for file in our_files():
        comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        for path, name in elements((), file.package, file):
            yield name, comments.get(path, "")


def elements(path: tuple[int, ...], scope: str, whole: Message) -> Iterator[tuple[tuple[int, ...], str]]:
    for field, parts in whole.ListFields():
        for index, part in enumerate(parts if field.name in PARTS else ()):
            # `optional` makes a oneof named like _trusted, and a map a message: they are in no source.
            is_map = isinstance(part, DescriptorProto) and part.options.map_entry
            if not part.name.startswith("_") and not is_map:
                here, name = (*path, field.number, index), f"{scope}.{part.name}"
                yield here, name
                yield from elements(here, name, part)


def method_comments() -> list[tuple[str, str]]:
    comments = dict(commented())
    [service] = [service for file in our_files() for service in file.service]
    return [(method.name, comments[f"{SERVICE}.{method.name}"]) for method in service.method]


def examples() -> list[tuple[str, dict[str, Any]]]:
    """Every method with the JSON object that follows "Example:" in its comment."""
    found = []
    for name, comment in method_comments():
        _, _, text = comment.partition("Example:")
        found.append((name, json.JSONDecoder().raw_decode(" ".join(text.split()))[0]))
    return found
