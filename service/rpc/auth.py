"""Who calls, for which account, and which scopes each RPC needs."""

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from service.domain.errors import AccountNotAllowed, CredentialsInvalid, CredentialsMissing, ScopeMissing

SCOPES = ("read", "write", "delete", "export", "import", "trust")
ANY_ACCOUNT = "*"
_ACCOUNT = re.compile(r"[A-Za-z0-9._-]{1,64}")

RPC_SCOPES: Mapping[str, frozenset[str]] = {
    "CreateContact": frozenset({"write"}),
    "EnsureContact": frozenset({"write"}),
    "GetContact": frozenset({"read"}),
    "UpdateContact": frozenset({"write"}),
    "DeleteContact": frozenset({"delete"}),
    "ListContacts": frozenset({"read"}),
    "ExportContacts": frozenset({"export"}),
}

# Supplying a fingerprint says who somebody is. (UpdateContact asks when it knows whether it changes.)
_SUPPLIES_FINGERPRINT: Mapping[str, Callable[[Any], bool]] = {
    "CreateContact": lambda request: bool(request.contact.fingerprint),
    "EnsureContact": lambda request: bool(request.contact.fingerprint),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a credential stands for. `account` may be `*`: any, named per call in x-account-id."""

    name: str
    account: str
    scopes: frozenset[str]

    def account_for(self, named: str | None) -> str:
        """The account of a call; raises AccountNotAllowed."""
        if self.account != ANY_ACCOUNT:
            if named is not None and named != self.account:
                raise AccountNotAllowed("The token is for another account than x-account-id names.")
            return self.account
        if named is None:
            raise AccountNotAllowed("The token is for any account; name one in the metadata x-account-id.")
        if not is_account(named):
            raise AccountNotAllowed("An account is 1 to 64 of the characters A-Z a-z 0-9 . _ -.")
        return named


class Caller(NamedTuple):
    """The principal of the running call and the account it acts for."""

    principal: Principal
    account: str


class Credentials(Protocol):
    """Knows tokens."""

    def principal(self, token: str) -> Principal | None:
        """Whom the token stands for; None when it is unknown or expired."""


_current: ContextVar[Caller] = ContextVar("caller")


def authenticate(credentials: Credentials, metadata: Mapping[str, str | bytes]) -> Principal:
    """The principal of a call; raises CredentialsMissing or CredentialsInvalid."""
    header = metadata.get("authorization")
    if header is None:
        raise CredentialsMissing
    scheme, _, token = str(header).partition(" ")
    principal = credentials.principal(token.strip()) if scheme.lower() == "bearer" else None
    if principal is None:
        raise CredentialsInvalid
    return principal


def enter(principal: Principal, metadata: Mapping[str, str | bytes]) -> Caller:
    """Makes the caller the current one of this task; raises AccountNotAllowed."""
    named = metadata.get("x-account-id")
    caller = Caller(principal, principal.account_for(None if named is None else str(named)))
    _current.set(caller)
    return caller


def authorise(principal: Principal, method: str) -> None:
    """Raises ScopeMissing for what the method needs."""
    if not RPC_SCOPES[method] <= principal.scopes:
        raise ScopeMissing(min(RPC_SCOPES[method] - principal.scopes))


def authorise_request(principal: Principal, method: str, request: Any) -> None:
    """Raises ScopeMissing for what the request says."""
    supplies = _SUPPLIES_FINGERPRINT.get(method)
    if supplies and supplies(request) and "trust" not in principal.scopes:
        raise ScopeMissing("trust")


def current_account() -> str:
    return _current.get().account


def is_trusting() -> bool:
    """Whether the current caller may say which fingerprint somebody has."""
    return "trust" in _current.get().principal.scopes


def is_account(name: str) -> bool:
    return _ACCOUNT.fullmatch(name) is not None
