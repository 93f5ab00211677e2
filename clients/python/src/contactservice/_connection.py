"""Where the service is and how to get there: address, TLS, and the policy of the channel."""

import json
from dataclasses import dataclass
from typing import Any

import grpc

SERVICE = "contactservice.v1.ContactService"
# Sent again by gRPC itself: a repetition makes no difference. Deletions are such only with `allow_missing`,
# and purges without `force`, which no service config can see; exports and watches go on
# with their last token.
_SAFE = (
    *("CreateContact", "EnsureContact", "GetContact", "UpdateContact", "ListContacts", "CountContacts"),
    *("BatchGetContacts", "BatchEnsureContacts"),
)
_DELETIONS = ("DeleteContact", "BatchDeleteContacts", "PurgeContacts")
_RETRIES = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


@dataclass(frozen=True, slots=True)
class Connection:
    """What a channel is made of; PEM in bytes. Without `roots` those of gRPC are trusted."""

    address: str
    insecure: bool
    roots: bytes | None
    certificate: bytes | None
    key: bytes | None
    wait_for_ready: bool

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.roots, self.key, self.certificate)

    @property
    def options(self) -> list[tuple[str, Any]]:
        return [
            ("grpc.service_config", json.dumps(self._policy())),
            # The service takes pings from every 10 s on, and so does what stands between.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # Else clients of one address would share a connection, and with it the certificate of the first.
            ("grpc.use_local_subchannel_pool", 1),
        ]

    def _policy(self) -> dict[str, Any]:
        waiting = {"waitForReady": self.wait_for_ready}
        policy = {
            "loadBalancingConfig": [{"round_robin": {}}],
            "methodConfig": [
                {"name": _names(_SAFE), "retryPolicy": _RETRIES, **waiting},
                {"name": _names(_DELETIONS), **waiting},
            ],
        }
        # Who does not wait wants the reason of a replica that is not ready, which only the replica has.
        return policy | ({"healthCheckConfig": {"serviceName": SERVICE}} if self.wait_for_ready else {})


def _names(methods: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"service": SERVICE, "method": method} for method in methods]
