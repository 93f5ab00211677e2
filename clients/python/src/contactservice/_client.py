"""What both clients are: a connection, a caller and a deadline."""

import copy
from pathlib import Path
from typing import Self

from contactservice._caller import Metadata, Token, metadata
from contactservice._connection import Connection

SECONDS = 30.0


class Client:
    """Calls ContactService as one caller.

    `address` is `host:port`, or several replicas: `dns:///contacts.internal:50051`. TLS unless `insecure`;
    certificates and key are PEM. `token_file` is read again when it changes. `account` is for tokens of
    several accounts. `timeout` is the deadline in seconds of each call, exports and watches excepted. Until
    then a call waits for a replica that is ready; with `wait_for_ready` False it asks whoever is connected,
    and is told why not.
    """

    def __init__(  # noqa: PLR0913 - each has a default and is given by name
        self,
        address: str,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        account: str | None = None,
        insecure: bool = False,
        root_certificates: bytes | None = None,
        certificate_chain: bytes | None = None,
        private_key: bytes | None = None,
        timeout: float | None = SECONDS,
        wait_for_ready: bool = True,
    ) -> None:
        if insecure and (root_certificates or certificate_chain or private_key):
            raise ValueError("insecure takes no certificates")
        if (certificate_chain is None) != (private_key is None):
            raise ValueError("a certificate_chain needs its private_key, and the key its chain")
        self._connection = Connection(
            address, insecure, root_certificates, certificate_chain, private_key, wait_for_ready
        )
        self._token = Token(token, Path(token_file) if token_file is not None else None)
        self._account = account
        self._timeout = timeout
        self._open()

    def _open(self) -> None:
        """Makes what the clients for other accounts and deadlines share."""
        raise NotImplementedError

    def for_account(self, account: str) -> Self:
        """The same client, calling for another account, on the same connections."""
        return self._changed(_account=account)

    def within(self, seconds: float | None) -> Self:
        """The same client with another deadline, on the same connections: `contacts.within(2).get(id)`."""
        return self._changed(_timeout=seconds)

    def _changed(self, **attributes: object) -> Self:
        other = copy.copy(self)
        vars(other).update(attributes)
        return other

    @property
    def _metadata(self) -> Metadata:
        return metadata(self._token, self._account)
