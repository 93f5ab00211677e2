"""How many streams may run at once: slots of an account, and of the process."""

from collections import Counter

from service.domain.errors import ExportSlotsFull


class Slots:
    """Counts the streams that run."""

    def __init__(self, of_account: int, of_process: int, streams: str = "export") -> None:
        self._streams = streams
        self._of_account = of_account
        self._of_process = of_process
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._taken.total()

    def look(self, account: str) -> None:
        """Raises ExportSlotsFull when there is no slot to take."""
        if self._taken[account] >= self._of_account:
            raise self._full("this account")
        if self._taken.total() >= self._of_process:
            raise self._full("this replica")

    def take(self, account: str) -> None:
        """A slot until it is given back; raises ExportSlotsFull."""
        self.look(account)
        self._taken[account] += 1

    def give_back(self, account: str) -> None:
        self._taken[account] -= 1
        if not self._taken[account]:
            del self._taken[account]

    def _full(self, whose: str) -> ExportSlotsFull:
        return ExportSlotsFull(
            f"All {self._streams} slots of {whose} are taken; try again when one has ended."
        )
