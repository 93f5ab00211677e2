"""A certificate authority of a test's own: certificates for servers and clients, as files or PEM."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)
        return certificate, key


class Authority:
    """Signs certificates; `certificate` is its own, to trust it by."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Test CA")
        self.certificate = self._signed(self._key, self._name, [], timedelta(days=1), is_authority=True)

    def server(self, name: str = "server") -> Pair:
        return self._pair(name, [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])

    def client(self, name: str, spiffe: str | None = None, lives: timedelta = timedelta(days=1)) -> Pair:
        """With the subject CN=name,O=Example and, where it is given, the SPIFFE id."""
        return self._pair(name, [x509.UniformResourceIdentifier(spiffe)] if spiffe else [], lives)

    def _pair(self, name: str, names: list[x509.GeneralName], lives: timedelta = timedelta(days=1)) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pair(self._signed(key, _name(name), names, lives), pem)

    def _signed(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        names: list[x509.GeneralName],
        lives: timedelta,
        *,
        is_authority: bool = False,
    ) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + lives)
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _name(common: str) -> x509.Name:
    parts = {NameOID.ORGANIZATION_NAME: "Example", NameOID.COMMON_NAME: common}
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts.items()])
