"""Who calls, for which account, and which scopes each RPC needs."""

import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

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
    "BatchGetContacts": frozenset({"read"}),
    "BatchEnsureContacts": frozenset({"write"}),
    "BatchDeleteContacts": frozenset({"delete"}),
    "CountContacts": frozenset({"read"}),
    "PurgeContacts": frozenset({"delete"}),
    "WatchContacts": frozenset({"export"}),
    "ImportContacts": frozenset({"import"}),
}

# Supplying a fingerprint says who somebody is. (UpdateContact and
# ImportContacts ask when they know whether it changes.)
_SUPPLIES_FINGERPRINT: Mapping[str, Callable[[Any], bool]] = {
    "CreateContact": lambda request: bool(request.contact.fingerprint),
    "EnsureContact": lambda request: bool(request.contact.fingerprint),
    "BatchEnsureContacts": lambda request: any(contact.fingerprint for contact in request.contacts),
}


# The properties of a connection, as gRPC tells them: its certificate among them.
Peer: TypeAlias = Callable[[], Mapping[str, Iterable[bytes]]]


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a credential stands for, and until when (Unix seconds).

    `*` among its accounts means any. Who has not just one names one per call in x-account-id.
    """

    name: str
    accounts: frozenset[str]
    scopes: frozenset[str]
    expires_at: float = math.inf

    def account_for(self, named: str | None) -> str:
        """The account of a call; raises AccountNotAllowed."""
        if named is None:
            return self._only_account()
        if ANY_ACCOUNT in self.accounts:
            if not is_account(named):
                raise AccountNotAllowed("An account is 1 to 64 of the characters A-Z a-z 0-9 . _ -.")
        elif named not in self.accounts:
            raise AccountNotAllowed("The credentials are for another account than x-account-id names.")
        return named

    def _only_account(self) -> str:
        if not self.accounts:
            raise AccountNotAllowed("The credentials name no account.")
        [account, *others] = self.accounts
        if others or account == ANY_ACCOUNT:
            raise AccountNotAllowed(
                "The credentials are for several accounts; name one in the metadata x-account-id."
            )
        return account


class Caller(NamedTuple):
    """The principal of the running call and the account it acts for."""

    principal: Principal
    account: str


class Credentials(Protocol):
    """Knows tokens and certificates."""

    async def begin(self) -> None:
        """Gets what the first call is judged by; takes a few seconds at most, and never fails."""

    def principal(self, token: str) -> Principal | None:
        """Whom the token stands for; None when it is unknown or expired. Raises KeysWanted."""

    def certified(self, peer: Peer) -> Principal | None:
        """Whom the certificate of the connection stands for, where certificates are credentials.

        None without one; raises CredentialsInvalid for one that is named nowhere or has expired.
        """


class KeysWanted(Exception):
    """The token can be judged when keys have been fetched: await `fetched()`, then ask again."""

    def __init__(self, fetched: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.fetched = fetched


_current: ContextVar[Caller] = ContextVar("caller")


def authenticate(credentials: Credentials, metadata: Mapping[str, str | bytes], peer: Peer) -> Principal:
    """The principal of a call, by its token or else by the certificate of its connection.

    Raises CredentialsMissing, CredentialsInvalid or KeysWanted.
    """
    header = metadata.get("authorization")
    if header is None:
        principal = credentials.certified(peer)
        if principal is None:
            raise CredentialsMissing
        return principal
    scheme, _, token = str(header).partition(" ")
    principal = credentials.principal(token.strip()) if scheme.lower() == "bearer" else None
    if principal is None:
        raise CredentialsInvalid
    return principal


def check(credentials: Credentials, method: str, metadata: Mapping[str, str | bytes], peer: Peer) -> None:
    """Whether a call that was let in would be again; raises as authenticate, enter and authorise do."""
    principal = authenticate(credentials, metadata, peer)
    principal.account_for(_named_account(metadata))
    authorise(principal, method)


def enter(principal: Principal, metadata: Mapping[str, str | bytes]) -> Caller:
    """Makes the caller the current one of this task; raises AccountNotAllowed."""
    caller = Caller(principal, principal.account_for(_named_account(metadata)))
    _current.set(caller)
    return caller


def authorise(principal: Principal, method: str) -> None:
    """Raises ScopeMissing for what the method needs."""
    if not RPC_SCOPES[method] <= principal.scopes:
        raise ScopeMissing(min(RPC_SCOPES[method] - principal.scopes))


def authorise_request(method: str, request: Any) -> None:
    """Raises ScopeMissing for what the request of the current caller says."""
    supplies = _SUPPLIES_FINGERPRINT.get(method)
    if supplies and supplies(request) and not is_trusting():
        raise ScopeMissing("trust")


def current_account() -> str:
    return _current.get().account


def is_trusting() -> bool:
    """Whether the current caller may say which fingerprint somebody has."""
    return "trust" in _current.get().principal.scopes


def is_account(name: str) -> bool:
    return _ACCOUNT.fullmatch(name) is not None


def _named_account(metadata: Mapping[str, str | bytes]) -> str | None:
    named = metadata.get("x-account-id")
    return None if named is None else str(named)
