"""Texts that are nowhere else, to be looked for where nothing personal may be told."""

import secrets
from typing import Any


class Canaries:
    """Texts that are nowhere else, by what they stand for; of characters that normal forms leave alone."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        return self._texts.setdefault(name, f"canary{name}{secrets.token_hex(6)}")

    def add(self, name: str, text: str) -> str:
        self._texts[name] = text
        return text

    def singing(self, told: str | bytes) -> list[str]:
        """Which of them are in what was told."""
        raw = told if isinstance(told, bytes) else told.encode()
        return [name for name, text in self._texts.items() if text.encode() in raw]

    @property
    def names(self) -> set[str]:
        return set(self._texts)

    def contact(self, prefix: str, **fields: Any) -> dict[str, Any]:
        """A contact with a canary in every field that a person can be known by."""
        texts = ("name", "description", "email", "phone", "nickname", "preferences", "fingerprint")
        phone = {"phone": self[f"{prefix}tel"][:32]}
        self.add(f"{prefix}phone", phone["phone"])
        metadata = {self[f"{prefix}key"]: {"deep": [self[f"{prefix}value"], {self[f"{prefix}inner"]: True}]}}
        return {text: self[prefix + text] for text in texts} | phone | {"metadata": metadata} | fields
