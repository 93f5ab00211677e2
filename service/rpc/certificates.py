"""Certificates: those of the listener, which may change while it listens, and whom those of clients name."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from service.ops import reloads
from service.rpc.auth import Peer
from service.rpc.whole_file import stamp

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class CertificatesInvalid(Exception):
    """A file cannot be read, or they do not belong together; the sentence names the flag."""


class Identity(NamedTuple):
    """Whom a client's certificate names, and until when (Unix seconds)."""

    name: str
    expires_at: float


def identity(peer: Peer) -> Identity | None:
    """The SPIFFE id, or without one the subject (RFC 2253); None without a certificate.

    gRPC has verified it against --tls-client-ca, when the connection was made.
    """
    properties = peer()
    certificate = _only(properties, "x509_pem_cert")
    if not certificate:
        return None
    name = _only(properties, "peer_spiffe_id") or _only(properties, "x509_subject")
    return Identity(name.decode(), _expires_at(certificate))


def expiry(flag: str, path: Path) -> float:
    """When the first certificate of the file to end does so, in Unix seconds; raises CertificatesInvalid."""
    found = _parsed(flag, path, _bytes(flag, path), x509.load_pem_x509_certificates)
    return float(min(each.not_valid_after_utc.timestamp() for each in found))


class Certificates:
    """What a listener shows and whom it trusts, from files that are read again when they have changed.

    Raises CertificatesInvalid; later a broken set keeps the last good one.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._files = _Files(cert, key, client_ca)
        self._seen = self._tried = self._files.stamps()
        self._set = self._files.read()
        self._offered = self._set
        self._failure: tuple[object, str] | None = None

    @property
    def expires_at(self) -> float:
        """When the certificate that is in force ends, in Unix seconds."""
        return self._set.expires_at

    def credentials(self) -> grpc.ServerCredentials:
        """For a listener; one only, as it is told of each change once."""
        asks_clients = self._files.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(self._set.configuration, self._changed, asks_clients)

    async def follow(self) -> None:
        """Looks at the files once a second; runs until it is cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Reads the files again when they have changed and are as they were at the look before.

        Certificate and key are two files: between the two writes they do not match, which is no failure.
        What could not be read is tried at every look: its cause may go and leave no trace on the files.
        """
        stamps = self._files.stamps()
        settled, self._seen = stamps == self._seen, stamps
        if not settled or (stamps == self._tried and self._failure is None):
            return
        self._tried = stamps
        try:
            self._set = self._files.read()
        except CertificatesInvalid as error:
            self._failed((stamps, str(error)))
        else:
            self._failure = None
            reloads.succeeded("certificates")
            log.info("certificates read again")

    def _failed(self, failure: tuple[object, str]) -> None:
        if failure != self._failure:
            reloads.failed("certificates", failure[1])
        self._failure = failure

    def _changed(self) -> Any:
        # Called by a thread of gRPC before each handshake; None keeps what it has.
        if self._offered is self._set:
            return None
        self._offered = self._set
        return self._offered.configuration


class _Set(NamedTuple):
    configuration: Any
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Files:
    cert: Path
    key: Path
    client_ca: Path | None

    def stamps(self) -> tuple[object, ...]:
        return tuple(stamp(path) for path in (self.cert, self.key, self.client_ca) if path)

    def read(self) -> _Set:
        certificate, key = _bytes("--tls-cert", self.cert), _bytes("--tls-key", self.key)
        client_ca = _bytes("--tls-client-ca", self.client_ca) if self.client_ca else None
        [leaf, *_] = _parsed("--tls-cert", self.cert, certificate, x509.load_pem_x509_certificates)
        private = _parsed("--tls-key", self.key, key, lambda pem: load_pem_private_key(pem, password=None))
        if client_ca is not None:
            _parsed("--tls-client-ca", self.client_ca, client_ca, x509.load_pem_x509_certificates)
        if leaf.public_key() != private.public_key():
            raise CertificatesInvalid(f"--tls-key {self.key} is not the key of --tls-cert {self.cert}")
        configuration = grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)
        return _Set(configuration, leaf.not_valid_after_utc.timestamp())


def _bytes(flag: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificatesInvalid(f"{flag} {path} cannot be read: {error.strerror}") from error


def _parsed(flag: str, path: Path | None, pem: bytes, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # TypeError: a key that asks for a password.
        raise CertificatesInvalid(f"{flag} {path} is not PEM that can be used") from error


def _only(properties: Any, name: str) -> bytes:
    [value, *_] = properties.get(name) or (b"",)
    return bytes(value)


@lru_cache(maxsize=1024)
def _expires_at(certificate: bytes) -> float:
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()
