"""What a driver sends to the database, as a listener of its sees it."""

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
