"""A TCP connection as a probe: something answers at an address, or nothing does."""

from __future__ import annotations

import socket

SECONDS = 2.0


def try_connecting(host: str, port: int) -> None:
    """Open a TCP connection and close it again.

    Raises:
        OSError: when nothing accepts it within 2 s, or `host` cannot be the name of a host.
    """
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except UnicodeError as error:  # an impossible name fails in its encoding
        raise OSError(str(error)) from error
