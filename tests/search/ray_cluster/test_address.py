"""Addresses of Ray clusters, before Ray is asked to join them."""

from __future__ import annotations

import socket

import pytest

from search.ray_cluster.address import check_address
from spaces.errors import RequestError, Unreachable


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found: int = server.getsockname()[1]
        return found


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:",
        ":6379",
        "127.0.0.1:port",
        "127.0.0.1:70000",
        "ray://h:1",
        "me@h:1",
        "h:1/path",
        "[::1",
    ],
)
def test_another_form_is_refused(address: str) -> None:
    with pytest.raises(RequestError) as refused:
        check_address(address)
    assert type(refused.value) is RequestError
    assert str(refused.value) == f"--address {address}: not HOST:PORT; allowed: HOST:PORT of a Ray head, or auto"


@pytest.mark.parametrize("host", ["127.0.0.1", "a..b"])
def test_where_nothing_answers_it_is_unreachable(host: str, free_port: int) -> None:
    with pytest.raises(Unreachable, match=rf"^--address {host}:{free_port}: nothing answers there \(.+\); allowed: "):
        check_address(f"{host}:{free_port}")


def test_auto_follows_the_environment(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port}")
    # Ray puts the address of this node in the place of 127.0.0.1.
    with pytest.raises(Unreachable, match=rf"^--address auto \([\d.]+:{free_port}\): nothing answers there"):
        check_address("auto")
