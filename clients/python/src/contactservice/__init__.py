"""The Python package of ContactService, the system of record for the people a product talks to.

`AsyncContactClient` and `ContactClient` are the ways in; messages and stubs are in `contactservice.v1`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contactservice._async import AsyncContactClient, AsyncExport, AsyncWatch
    from contactservice._errors import (
        CallerRefused,
        ContactNotFound,
        ContactServiceError,
        DeadlineExceeded,
        DeleteRestricted,
        EtagMismatch,
        ExportIncomplete,
        FingerprintTaken,
        InvalidRequest,
        LimitReached,
        ResumeTokenExpired,
        ServiceUnavailable,
        Violation,
    )
    from contactservice._fields import ContactFields, FilterTerms
    from contactservice._sync import ContactClient, Export, Watch

__all__ = [
    "AsyncContactClient",
    "AsyncExport",
    "AsyncWatch",
    "CallerRefused",
    "ContactClient",
    "ContactFields",
    "ContactNotFound",
    "ContactServiceError",
    "DeadlineExceeded",
    "DeleteRestricted",
    "EtagMismatch",
    "Export",
    "ExportIncomplete",
    "FilterTerms",
    "FingerprintTaken",
    "InvalidRequest",
    "LimitReached",
    "ResumeTokenExpired",
    "ServiceUnavailable",
    "Violation",
    "Watch",
]

_HOMES = {
    "AsyncContactClient": "_async",
    "AsyncExport": "_async",
    "AsyncWatch": "_async",
    "ContactClient": "_sync",
    "ContactFields": "_fields",
    "Export": "_sync",
    "FilterTerms": "_fields",
    "Watch": "_sync",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # Loaded when it is asked for: who needs the stubs alone, as the service does, loads no client, and
        # the command can tell gRPC to be silent before that is loaded.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES.get(name, '_errors')}"), name)
