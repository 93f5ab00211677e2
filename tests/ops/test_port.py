"""A port is had by one service, however many processes of it share it."""

import socket
import sys

import pytest

from service.ops.port import bound, claimed

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, no port is shared")


def worker(address: tuple[str, int]) -> socket.socket:
    """Listens as gRPC does where a port is shared."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(address)
    found.listen()
    return found


@ON_LINUX
@pytest.mark.parametrize("listening", [False, True])
def test_nobody_else_claims_a_claimed_port(listening: bool) -> None:
    """A second service finds it taken, before the workers of the first listen and while they do."""
    with claimed("127.0.0.1", 0) as holder:
        host, port = holder.getsockname()
        workers = [worker((host, port)) for _ in range(2 * listening)]
        for take in (claimed, bound):
            with pytest.raises(OSError, match="in use"):
                take(host, port)
        for each in workers:
            each.close()
    bound(host, port).close()


@ON_LINUX
def test_a_connection_that_ended_does_not_hold_the_port() -> None:
    """A service that was stopped can start again at once, with workers or without."""
    with claimed("127.0.0.1", 0) as holder:
        address = holder.getsockname()
        with worker(address) as listener, socket.create_connection(address) as caller:
            accepted, _ = listener.accept()
            accepted.close()
            assert not caller.recv(1)
    claimed(*address).close()
    bound(*address).close()


def test_zero_picks_a_free_one() -> None:
    """Two that ask for any port get two."""
    with bound("127.0.0.1", 0) as one, bound("::1", 0) as other:
        assert one.getsockname()[1] != 0 != other.getsockname()[1]
