"""Both ways from documents to records, Python's and the compiled one, and when they end the same."""

from collections.abc import Iterable
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from hypothesis import settings

from contactservice.v1.export_pb2 import ContactList
from service.domain import encoding
from service.domain.contact import Contact
from service.domain.encoding import Encoder
from service.rpc import framing
from service.storage import transcode
from service.storage.documents import to_document
from service.storage.replies import Reply
from service.storage.transcode import Native, Python, Transcoder

ENCODERS = [
    encoding.json_lines(),
    encoding.json_array(),
    encoding.comma_separated(safe=True, bom=False),
    encoding.comma_separated(safe=False, bom=False),
    framing.contact_messages(),
]

each_format = pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.name)
many = settings(max_examples=400, deadline=None)
native_only = pytest.mark.skipif(not transcode.IS_NATIVE, reason="the compiled part is not built")


def reply(transcoder: Transcoder, documents: Iterable[bytes]) -> Reply:
    batch = [RawBSONDocument(document) for document in documents]
    cursor = bson.encode({"firstBatch": batch, "id": 0, "ns": "tests.contacts"})
    return Reply(cursor, transcoder.starts(cursor))


def stored(contact: Contact) -> bytes:
    return bson.encode(to_document("demo", contact))


def texts(transcoder: Transcoder, encoder: Encoder, documents: list[bytes]) -> list[bytes]:
    """The records one by one, as far as one can be told from the next."""
    parts = transcoder.records(reply(transcoder, documents), encoder, None)
    return [records.take(1, 1).text for records in parts for _ in range(len(records))]


def outcome(transcoder: Transcoder, encoder: Encoder, document: bytes) -> Any:
    """The record, or the kind of error that the document ends in."""
    try:
        [text] = texts(transcoder, encoder, [document])
    except Exception as error:  # noqa: BLE001 (any error is the outcome that is compared)
        return type(error)
    return comparable(encoder, text)


def comparable(encoder: Encoder, text: bytes) -> Any:
    # A map of protobuf has no order: two texts of one message have the same length and the same content.
    return (len(text), ContactList.FromString(text)) if encoder.name == "contacts" else text


def check_same(document: bytes) -> None:
    for encoder in ENCODERS:
        ours, theirs = (outcome(each, encoder, document) for each in (Python(), Native()))
        assert ours == theirs, encoder.name
