"""The database that a command works on: the one that is named, or a mongod of our own meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.config import Config
from service.rpc.health import Revive
from service.storage.mongod import EmbeddedMongod


@contextmanager
def database(config: Config) -> Iterator[tuple[str, Revive]]:
    """Its URI, and what brings it back when it is ours and has died. It forks: before gRPC and loops."""
    if config.mongodb_uri:
        yield config.mongodb_uri.get_secret_value(), lambda: None
        return
    mongod = EmbeddedMongod(config.data_dir, config.mongod)
    mongod.start()
    try:
        yield mongod.uri, mongod.restart_if_dead
    finally:
        mongod.stop()
