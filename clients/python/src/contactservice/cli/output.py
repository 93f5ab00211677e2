"""What a command prints: JSON, an object a line."""

import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message


def show(message: Message) -> None:
    """A message in its JSON form, with the empty fields that a program would look for."""
    show_object(json_format.MessageToDict(message, always_print_fields_with_no_presence=True))


def show_object(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False))
