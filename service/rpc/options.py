"""What gRPC itself refuses, before a call is one of ours: sizes, floods, connections that say nothing."""

from typing import Final

from service.domain.limits import KIB, REQUEST_BYTES

METADATA_BYTES: Final = 16 * KIB
STREAMS_OF_CONNECTION: Final = 1000
HANDSHAKE_SECONDS: Final = 10

OPTIONS: Final = (
    ("grpc.max_receive_message_length", REQUEST_BYTES),
    # Both: between a soft limit and a hard one, gRPC refuses at random.
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES),
    # At 100 gRPC core refuses streams at random with 64 in flight: those awaiting release count, too.
    ("grpc.max_concurrent_streams", STREAMS_OF_CONNECTION),
    # Calls that wait until they are taken: some are refused from the first number on, all from the second.
    # 2,000 wait about half a second; whoever waits much longer has often gone before the answer.
    ("grpc.server.max_pending_requests", 2000),
    ("grpc.server.max_pending_requests_hard_limit", 4000),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
    # Our limits hold for a connection once it has acknowledged them.
    ("grpc.http2.settings_timeout", HANDSHAKE_SECONDS * 1000),
    # Ours, to find connections whose other end has gone.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Theirs: one in ten seconds, with calls or without; the third that comes sooner ends the connection.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
)
