"""What a driver sends to the database, as a listener of its sees it."""

from collections.abc import Callable
from typing import Any

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent


class Commands(CommandListener):
    """Remembers every command with its `name`, as MongoDB would log it."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    @property
    def names(self) -> list[str]:
        return [command["name"] for command in self.seen]

    def with_text(self, text: str) -> list[dict[str, Any]]:
        return [command for command in self.seen if text in str(command)]

    def started(self, event: CommandStartedEvent) -> None:
        self.seen.append({"name": event.command_name, **event.command})

    def succeeded(self, event: CommandSucceededEvent) -> None: ...
    def failed(self, event: CommandFailedEvent) -> None: ...


class Before(CommandListener):
    """Does something right before the first commands of a name go to a collection; all else stands still."""

    def __init__(self, name: str, collection: str, act: Callable[[], object], times: int = 1) -> None:
        self._left = times
        self._name = name
        self._collection = collection
        self._act = act

    def started(self, event: CommandStartedEvent) -> None:
        if self._left and event.command.get(self._name) == self._collection:
            self._left -= 1
            self._act()

    def succeeded(self, event: CommandSucceededEvent) -> None: ...
    def failed(self, event: CommandFailedEvent) -> None: ...
