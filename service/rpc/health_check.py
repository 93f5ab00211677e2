"""Asks a server for its health, as a probe does: over the port that it serves on, with TLS where it does."""

import grpc
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contactservice.v1 import contact_service_pb2
from service.config import Config
from service.rpc.listening import Address, CannotServe

# "" lives as long as the process does; the service's name is ready while the database answers.
ASKED = {
    "liveness": "",
    "readiness": contact_service_pb2.DESCRIPTOR.services_by_name["ContactService"].full_name,
}
_NEAR = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (not bound, but replaced)


class Unhealthy(Exception):
    """The server does not serve or does not answer; one sentence."""


def check(config: Config, asked: str, seconds: float) -> None:
    """Returns when the server at --address says that it serves; raises Unhealthy, or CannotServe."""
    address = Address.parse(config.address)
    address = Address(_NEAR.get(address.host, address.host), address.port)
    request = health_pb2.HealthCheckRequest(service=ASKED[asked])
    with _channel(config, str(address)) as channel:
        try:
            status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=seconds).status
        except grpc.RpcError as error:
            raise Unhealthy(f"{address} does not answer: {error.code().name}") from error
    if status != health_pb2.HealthCheckResponse.SERVING:
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
        raise Unhealthy(f"{address} answers {name} when asked for its {asked}")


def _channel(config: Config, target: str) -> grpc.Channel:
    if not config.tls_cert or not config.tls_key:
        return grpc.insecure_channel(target)
    # Whoever may read the key is on the server's side: its certificate is trusted for what it is, whoever
    # signed it, and shown as our own where the server asks clients for one.
    try:
        chain, key = config.tls_cert.read_bytes(), config.tls_key.read_bytes()
        name = _name(chain)
    except (OSError, ValueError) as error:
        raise CannotServe("--tls-cert and --tls-key cannot be read, or are not PEM") from error
    credentials = grpc.ssl_channel_credentials(chain, key, chain)
    return grpc.secure_channel(target, credentials, [("grpc.ssl_target_name_override", name)])


def _name(chain: bytes) -> str:
    [leaf, *_] = x509.load_pem_x509_certificates(chain)
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return leaf.subject.rfc4514_string()
    hosts = [*names.get_values_for_type(x509.DNSName), *names.get_values_for_type(x509.IPAddress)]
    return str(hosts[0]) if hosts else ""
