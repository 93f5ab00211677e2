"""Who signs the tokens of pages and exports: keys of a file, or the one that the database keeps."""

from pathlib import Path

from service.domain.paging import TokenSigner
from service.rpc.listening import CannotServe
from service.storage.store import Store


class Signers:
    """The signer of page tokens: from --token-keys, or from the database at the first use."""

    def __init__(self, store: Store, file: Path | None) -> None:
        self._store = store
        self._signer = TokenSigner(keys(file)) if file else None

    async def __call__(self) -> TokenSigner:
        if self._signer is None:
            self._signer = TokenSigner(await self._store.token_keys())
        return self._signer


def keys(file: Path) -> list[bytes]:
    """The keys of the file, the first of which signs; raises CannotServe."""
    try:
        lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
        found = [bytes.fromhex(line) for line in lines if not line.startswith("#")]
    except (OSError, ValueError) as error:
        raise CannotServe(f"--token-keys {file}: expected a key of hex digits a line") from error
    if not found or any(len(key) < 32 for key in found):
        raise CannotServe(f"--token-keys {file}: expected keys of at least 64 hex digits, one a line")
    return found
