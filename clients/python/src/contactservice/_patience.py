"""Whether a call that failed is worth another try, and when."""

import random
import time

import grpc

from contactservice._errors import ContactServiceError
from contactservice._plans import Call

ATTEMPTS = 5
STREAM_ATTEMPTS = 8
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED)


class Patience:
    """The tries of one call until its deadline."""

    def __init__(self, call: Call, seconds: float | None) -> None:
        self._call = call
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._failures = 0

    @property
    def left(self) -> float | None:
        """Seconds until the deadline."""
        return None if self._ends is None else max(0.0, self._ends - time.monotonic())

    def pause(self, error: ContactServiceError) -> float:
        """Seconds until the next try; raises the error when there should be none."""
        self._failures += 1
        pause = _pause(error, self._failures)
        is_in_time = self.left is None or pause < self.left
        if self._failures < ATTEMPTS and is_in_time and self._is_passing(error):
            return pause
        raise error

    def _is_passing(self, error: ContactServiceError) -> bool:
        if error.code is grpc.StatusCode.UNAVAILABLE:
            return self._call.is_repeatable
        # Refused before anything was done, so this is safe for every call.
        return _is_refused_for_a_while(error)


class StreamPatience:
    """The tries of a stream that can go on where it broke; what arrives makes up for failures."""

    def __init__(self) -> None:
        self._failures = 0

    def reward(self) -> None:
        self._failures = 0

    def pause(self, error: ContactServiceError) -> float:
        """Seconds until the next try; raises the error when there should be none."""
        self._failures += 1
        is_passing = (
            error.code in _PASSING or error.reason == "STORE_TIMEOUT" or _is_refused_for_a_while(error)
        )
        if self._failures < STREAM_ATTEMPTS and is_passing:
            return _pause(error, self._failures)
        raise error


def _is_refused_for_a_while(error: ContactServiceError) -> bool:
    return error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after is not None


def _pause(error: ContactServiceError, failures: int) -> float:
    longest: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (failures - 1))
    # Those who were refused together do not come back together.
    return (error.retry_after or 0.0) + longest * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
