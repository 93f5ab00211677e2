"""The Python package of ContactService, the system of record for the people a product talks to.

`AsyncContactClient` and `ContactClient` are the ways in; messages and stubs are in `contactservice.v1`.
"""

from contactservice._async import AsyncContactClient, AsyncExport
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
    ServiceUnavailable,
    Violation,
)
from contactservice._fields import ContactFields, FilterTerms
from contactservice._sync import ContactClient, Export

__all__ = [
    "AsyncContactClient",
    "AsyncExport",
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
    "ServiceUnavailable",
    "Violation",
]
