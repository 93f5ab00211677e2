"""Files and key sets that are read again while the service runs: how often that failed, by what they are.

After a failure what was read last stays in force, so this is how an operator learns of it.
"""

import logging
from collections import Counter

log = logging.getLogger(__name__)

# Exported as contactservice_reload_failures_total{file}.
failures: Counter[str] = Counter({"tokens": 0, "certificates": 0, "jwks": 0})


def failed(file: str, error: str) -> None:
    """Counts a failure and tells of it: call it once for each change that could not be read."""
    failures[file] += 1
    log.warning("could not be read again, kept as it was", extra={"file": file, "error": error})
