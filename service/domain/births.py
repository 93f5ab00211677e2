"""The birth that the running call waits for. A call that is cut off knows by it who may have been born."""

from contextvars import ContextVar

# The id that the new contact has or would have. The storage says it, before anything is written.
asked: ContextVar[str | None] = ContextVar("birth", default=None)
