"""The client of a service: what it says when there is none. Its routes are in tests/search/service."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from search.client import TOKEN, Client
from search.documents.service import ExportRequest
from spaces.errors import RequestError, WorkError


class Answer(BaseHTTPRequestHandler):
    """Answers the path /CODE with that code, a problem document, and the caller's token in it."""

    def do_GET(self) -> None:
        code = int(self.path.split("/")[-1].partition("?")[0])
        told = {"detail": f"{code} for {self.headers.get('Authorization')}"}
        body = b"no JSON" if code == 418 else json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.path = "/409"
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (404, RequestError, "^404 for Bearer secret$"),
        (409, RequestError, "^409 for"),
        (500, WorkError, "^500 for"),
        (503, WorkError, "^503 for"),
        (418, RequestError, "HTTP 418; allowed: the address of a paretune service"),
    ],
)
def test_an_error_is_told_in_the_words_of_the_service(url: str, code: int, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as raised:
        Client(url, token="secret").status(str(code))
    assert type(raised.value) is kind


def test_a_conflict_of_an_export_is_that_no_trial_beats_the_head(url: str) -> None:
    with pytest.raises(WorkError, match="409 for"):
        Client(url).export("mine", ExportRequest())


def test_the_token_is_the_callers_or_that_of_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "theirs")
    for client, token in ((Client(url), "theirs"), (Client(url, token="mine"), "mine")):
        with pytest.raises(RequestError, match=f"404 for Bearer {token}$"):
            client.status("404")
    monkeypatch.delenv(TOKEN)
    with pytest.raises(RequestError, match=r"404 for None$"):
        Client(url).status("404")


def test_nothing_answers() -> None:
    with pytest.raises(WorkError, match=r"--server http://127.0.0.1:1: does not answer \(ConnectionError\)"):
        Client("http://127.0.0.1:1/").methods()
