"""The HTTP server of the service: HTTP/1.1 only, with a time limit on the arrival of a request."""

from __future__ import annotations

import asyncio

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from search.service.settings import Settings

_SENDING = (h11.IDLE, h11.SEND_BODY)


def make_server(app: FastAPI, host: str, port: int, settings: Settings) -> uvicorn.Server:
    """Return a server of `app`, which is not started yet."""

    class Protocol(TimelyProtocol):
        seconds = settings.request_seconds

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Protocol,
        ws="none",
        proxy_headers=False,  # the application reads them, from the proxies that the operator names
        server_header=False,
        log_config=None,
    )
    return uvicorn.Server(config)


class TimelyProtocol(H11Protocol):
    """Close a connection whose request is not complete `seconds` after its first byte, or after the connection opened.

    uvicorn has no such limit: a client that sends a byte now and then, or none, would hold a connection for ever.
    """

    seconds: float = 30.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, and stop its clock once it is complete."""
        self._wait()
        super().data_received(data)
        if self.conn.their_state not in _SENDING:
            self._wait_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
