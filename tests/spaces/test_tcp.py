"""Addresses at which something listens, nothing does, or nothing can."""

from __future__ import annotations

import socket

import pytest

from spaces.tcp import try_connecting


def test_a_listening_port_is_connected_to_and_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        try_connecting("127.0.0.1", server.getsockname()[1])
        connection, _ = server.accept()
        with connection:
            assert connection.recv(1) == b""


def test_a_port_that_was_closed_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        try_connecting("127.0.0.1", port)


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_a_name_that_no_host_can_have_is_an_os_error_too(host: str) -> None:
    with pytest.raises(OSError, match=r"\S"):
        try_connecting(host, 80)
