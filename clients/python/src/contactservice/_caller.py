"""Who calls: the token, from a text or a file, and the account."""

from pathlib import Path

Metadata = tuple[tuple[str, str], ...]


class Token:
    """A token that stays, or one in a file, which is read again when the file has changed."""

    def __init__(self, text: str | None, file: Path | None) -> None:
        if text is not None and file is not None:
            raise ValueError("give a token or a token_file, not both")
        self._text = text
        self._file = file
        self._version: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self._file is not None and (version := _version(self._file)) != self._version:
            self._text, self._version = self._file.read_text(encoding="utf-8").strip(), version
        return self._text or ""


def _version(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def metadata(token: Token, account: str | None) -> Metadata:
    """What goes with each call; nothing for a caller whom its certificate names."""
    text = _sendable("token", str(token))
    credential = (("authorization", f"Bearer {text}"),) if text else ()
    return credential + ((("x-account-id", _sendable("account", account)),) if account is not None else ())


def _sendable(what: str, text: str) -> str:
    # gRPC's own refusal would show the token.
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"the {what} has characters that none has")
    return text
