"""The rules for what a caller sends: lengths, characters, fingerprints. All broken ones are told at once."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from service.domain import identity, limits, metadata
from service.domain.contact import Draft
from service.domain.errors import InvalidField, Violation

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_IN_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class _Text:
    limit: int
    unit: str = "characters"
    lines: bool = False

    def broken(self, text: str) -> Iterator[str]:
        size = len(text.encode()) if self.unit == "bytes" else len(text)
        if size > self.limit:
            yield f"at most {self.limit} {self.unit}, got {size}"
        if (_CONTROL_IN_LINES if self.lines else _CONTROL).search(text):
            allowed = "no control characters but tab, LF and CR" if self.lines else "no control characters"
            yield allowed


_TEXTS = {
    "name": _Text(limits.NAME_CHARACTERS),
    "description": _Text(limits.DESCRIPTION_BYTES, "bytes", lines=True),
    "email": _Text(limits.EMAIL_CHARACTERS),
    "phone": _Text(limits.PHONE_CHARACTERS),
    "nickname": _Text(limits.NICKNAME_CHARACTERS),
    "preferences": _Text(limits.PREFERENCES_BYTES, "bytes", lines=True),
}
_FINGERPRINT = _Text(limits.FINGERPRINT_BYTES, "bytes")
_REQUEST_ID = _Text(limits.REQUEST_ID_CHARACTERS)


def checked_draft(draft: Draft) -> Draft:
    """The draft of a new contact; raises InvalidField or MetadataInvalid."""
    _refuse([*_broken_texts(draft), *broken_fingerprint(draft.fingerprint)])
    if draft.metadata is None:
        return draft
    kept = metadata.merged({}, metadata.normalised(draft.metadata))
    return replace(draft, metadata=metadata.checked(kept))


def checked_patch(draft: Draft) -> Draft:
    """The new values of an update. Whether its fingerprint is the service's own is not asked yet."""
    _refuse([*_broken_texts(draft), *broken_fingerprint(draft.fingerprint, may_be_stored=True)])
    return draft if draft.metadata is None else replace(draft, metadata=metadata.normalised(draft.metadata))


def checked_import(draft: Draft, *, trusted: bool) -> Draft:
    """What a row of an import says, its metadata as a patch; raises InvalidField or MetadataInvalid.

    An untrusted row may have a fingerprint that the service gave out, in an export.
    """
    violations = [*_broken_texts(draft)]
    if draft.fingerprint:
        may_be_stored = not trusted and identity.is_given_out(draft.fingerprint)
        violations += broken_fingerprint(draft.fingerprint, may_be_stored=may_be_stored)
    elif trusted:
        violations.append(Violation("contact.fingerprint", "a trusted contact has one"))
    _refuse(violations)
    return draft if draft.metadata is None else replace(draft, metadata=metadata.normalised(draft.metadata))


def checked_fingerprint(fingerprint: str) -> str:
    """The fingerprint, if a caller may supply it; raises InvalidField."""
    _refuse([*broken_fingerprint(fingerprint)])
    return fingerprint


def checked_request_id(request_id: str) -> str:
    if request_id:
        _refuse([Violation("request_id", rule) for rule in _REQUEST_ID.broken(request_id)])
    return request_id


def broken_fingerprint(fingerprint: str, *, may_be_stored: bool = False) -> Iterator[Violation]:
    """The rules that the text breaks. One that may be the stored one may be a text of the service."""
    rules = [*_FINGERPRINT.broken(fingerprint)]
    if fingerprint != fingerprint.strip():
        rules.append("no spaces at the edges")
    if identity.is_reserved(fingerprint) and not may_be_stored:
        rules.append("texts that start like d1:, r1: or q1: are given out by the service only")
    return (Violation("contact.fingerprint", rule) for rule in rules)


def _broken_texts(draft: Draft) -> Iterator[Violation]:
    for name, rules in _TEXTS.items():
        # Most are absent, and an absent one breaks no rule.
        if text := getattr(draft, name):
            for rule in rules.broken(text):
                yield Violation(f"contact.{name}", rule)


def _refuse(violations: list[Violation]) -> None:
    if violations:
        raise InvalidField(*violations)
