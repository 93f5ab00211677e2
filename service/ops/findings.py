"""What an examination found: one check, how it went, one sentence, and what to do about it."""

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is one of OK, WARN and FAIL; `advice` is empty where all is well. Nothing secret is in it."""

    check: str
    state: str
    sentence: str
    advice: str = ""


def ok(check: str, sentence: str) -> Finding:
    return Finding(check, OK, sentence)


def warn(check: str, sentence: str, advice: str) -> Finding:
    return Finding(check, WARN, sentence, advice)


def fail(check: str, sentence: str, advice: str) -> Finding:
    return Finding(check, FAIL, sentence, advice)
