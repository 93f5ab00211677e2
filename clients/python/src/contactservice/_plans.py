"""What a method does, without doing it: a plan yields calls and is sent their answers.

Both clients carry out the same plans, so no rule of a method stands twice.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Call:
    """One unary call, by the name of its RPC.

    `is_repeatable`: the client itself sends it again after UNAVAILABLE. With methods that are always safe
    gRPC does so, by the service config, which does not know what is in a request.
    """

    method: str
    request: Message
    is_repeatable: bool = False


Plan: TypeAlias = Generator[Call, Any, R]
