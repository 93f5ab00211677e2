"""Batch calls: one outcome for each item, in the order of the request, and no item that fails another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

import grpc

from contactservice.v1.contact_service_pb2 import ItemError
from contactservice.v1.errors_pb2 import ErrorReason
from service.domain import limits
from service.domain.errors import (
    InvalidField,
    ResponseFull,
    ServiceError,
    StoreTimeout,
    StoreUnavailable,
    Violation,
)
from service.rpc import framing

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
# An outcome, or why there is none.
End: TypeAlias = Outcome | ServiceError

# As many as one operation of the database asks for: more at once would only keep other callers waiting.
AT_ONCE = 128


def checked(field: str, items: Sequence[Item], most: int) -> Sequence[Item]:
    """The items, if they are not too many; raises InvalidField."""
    if len(items) > most:
        raise InvalidField(Violation(field, f"at most {most}, got {len(items)}"))
    return items


async def answered(
    items: Sequence[Item],
    act: Callable[[Item], Awaitable[bytes]],
    refused: Callable[[Item, ItemError], bytes],
) -> bytes:
    """The bytes of a response whose field 1 has an outcome for each item.

    `act` returns an outcome or raises, `refused` makes one of an error. What does not fit into 3 MiB any more
    is RESPONSE_FULL, and later rounds are not begun. When the database answers nothing of a round, they are
    not begun either: they end as that one did, and where it was the first, the call does.
    """
    parts: list[bytes] = []
    room = limits.PAGE_BYTES
    rest: ServiceError | None = None
    for first in range(0, len(items), AT_ONCE):
        round_ = items[first : first + AT_ONCE]
        done: list[End[bytes]] = [rest] * len(round_) if rest else await ends(act, round_)
        rest = rest or absence(done)
        if rest and not parts:
            raise rest
        for item, end in zip(round_, done, strict=True):
            element = _element(item, end, refused)
            room -= len(element)
            if room < 0 and isinstance(end, bytes):
                rest = ResponseFull()
                element = _element(item, rest, refused)
            parts.append(element)
    return b"".join(parts)


async def ends(
    act: Callable[[Item], Awaitable[Outcome]], items: Sequence[Item]
) -> list[Outcome | ServiceError]:
    """What became of each of a round, at once."""
    return await asyncio.gather(*(_end(act, item) for item in items))


def absence(done: Sequence[End[Outcome]]) -> ServiceError | None:
    """The error of a round of which the database answered nothing."""
    weather = [end for end in done if isinstance(end, StoreTimeout | StoreUnavailable)]
    return weather[0] if len(weather) == len(done) else None


def item_error(error: ServiceError) -> ItemError:
    """The error as an outcome tells it."""
    return ItemError(
        code=grpc.StatusCode[error.code].value[0],
        reason=ErrorReason.Value(f"ERROR_REASON_{error.reason}"),
        message=error.message,
        metadata=error.metadata,
    )


async def _end(act: Callable[[Item], Awaitable[Outcome]], item: Item) -> Outcome | ServiceError:
    try:
        return await act(item)
    except ServiceError as error:
        return error


def _element(item: Item, end: End[bytes], refused: Callable[[Item, ItemError], bytes]) -> bytes:
    return framing.element(refused(item, item_error(end)) if isinstance(end, ServiceError) else end)
