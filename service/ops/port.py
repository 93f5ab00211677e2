"""A port before it is served on: whether it is free, and how several processes get to share it."""

import socket


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the port (0: one that is free) to itself and does not listen; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family)
    try:
        # Connections that ended a moment ago are no obstacle.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
    except OSError:
        holder.close()
        raise
    return holder


def claimed(host: str, port: int) -> socket.socket:
    """As `bound`, but open to all who ask with SO_REUSEPORT, which our workers do; raises OSError.

    Another service finds the port taken while the socket is open, also before anybody listens: its first
    bind asks for it alone, as this one did.
    """
    holder = bound(host, port)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return holder
