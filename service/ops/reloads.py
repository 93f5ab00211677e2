"""Files and key sets that are read again while the service runs: how often that failed, by what they are.

After a failure what was read last stays in force, so this is how an operator learns of it.
"""

import logging
from collections import Counter

log = logging.getLogger(__name__)

# Exported as contactservice_reload_failures_total{file}.
failures: Counter[str] = Counter({"tokens": 0, "certificates": 0, "jwks": 0})
# Exported as contactservice_reload_failing{file}: what failed and has not been read since.
failing: dict[str, bool] = dict.fromkeys(failures, False)


def failed(file: str, error: str, *, is_known: bool = False) -> None:
    """Counts an attempt that failed, and tells of it, unless it is known to fail."""
    failures[file] += 1
    failing[file] = True
    if not is_known:
        log.warning("could not be read again, kept as it was", extra={"file": file, "error": error})


def succeeded(file: str) -> None:
    """Whatever failed before, what is in the file is in force."""
    failing[file] = False
