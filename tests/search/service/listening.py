"""The service behind a port of its own, as `paretune serve` runs it, in a thread of this process; without Ray."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from search.service.app import create_app
from search.service.http_server import make_server
from search.service.settings import Settings
from tests.search.heads import free_port
from tests.search.processes import wait_for

PATIENCE = 60.0


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[int]:
    """Its port."""
    port = free_port()
    server = make_server(create_app(settings), "127.0.0.1", port, settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield port
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def answer_to(port: int, *pieces: bytes) -> bytes:
    """The bytes that come back for these until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        for piece in pieces:
            with contextlib.suppress(ConnectionError):
                connection.sendall(piece)
        said = bytearray()
        with contextlib.suppress(ConnectionResetError):  # closed with something still unread
            while part := connection.recv(65_536):
                said += part
        return bytes(said)
