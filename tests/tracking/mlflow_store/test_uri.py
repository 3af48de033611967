"""Which MLflow is meant, and refusing one that cannot work."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from spaces.errors import RequestError
from tracking.mlflow_store.uri import absolute_file, probe, redact, resolve_uri, sqlite_file


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARETUNE_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def port() -> Iterator[int]:
    """A port that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
    return number


def test_the_nearest_wish_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARETUNE_TRACKING_URI", "http://ours")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflows")
    assert resolve_uri("http://asked", "http://spec", tmp_path) == "http://asked"
    assert resolve_uri(None, "http://spec", tmp_path) == "http://spec"
    assert resolve_uri(None, None, tmp_path) == "http://ours"
    monkeypatch.delenv("PARETUNE_TRACKING_URI")
    assert resolve_uri(None, None, tmp_path) == "http://mlflows"


@pytest.mark.usefixtures("no_environment")
def test_without_a_wish_it_is_sqlite_in_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_uri(None, None, Path("./runs")) == f"sqlite:///{tmp_path}/runs/mlflow.db"


@pytest.mark.usefixtures("no_environment")
def test_a_storage_that_no_uri_can_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"storage = .*what\?: .*without \?, # and %"):
        resolve_uri(None, None, tmp_path / "what?")


def test_a_listening_server_passes(port: int) -> None:
    probe(f"http://127.0.0.1:{port}", write=True)
    probe(f"http://127.0.0.1:{port}/behind/a/path", write=False)
    probe(f"postgresql+psycopg://user:secret@127.0.0.1:{port}/mlflow", write=False)


@pytest.mark.parametrize("scheme", ["http", "https", "postgresql+psycopg"])
def test_a_silent_address_is_refused_without_its_password(scheme: str, closed_port: int) -> None:
    with pytest.raises(RequestError) as error:
        probe(f"{scheme}://user:secret@127.0.0.1:{closed_port}/x", write=True)
    assert f"nothing answers at 127.0.0.1:{closed_port}; allowed: a reachable MLflow tracking URI" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_name_that_is_no_host_is_refused() -> None:
    with pytest.raises(RequestError, match="nothing answers at"):
        probe(f"http://{'a' * 70}.invalid:5000", write=True)


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("./mlruns", "file store; allowed: sqlite:///FILE"),
        ("mlruns", "file store; allowed: sqlite:///FILE"),
        ("file:///tmp/mlruns", "file store; allowed: sqlite:///FILE"),
        ("databricks", "file store"),
        ("ftp://somewhere/x", "unknown scheme 'ftp'"),
        ("mysql://user:secret@somewhere/x", "unknown scheme 'mysql'"),
        ("http:/somewhere", "not a URI"),
        ("http://", "names no host"),
        ("http://host:notaport", "not a URI"),
        ("postgresql+nodriver://127.0.0.1/x", "no driver for postgresql"),
        ("sqlite://", "keeps nothing"),
        ("sqlite:///:memory:", "keeps nothing"),
    ],
)
def test_what_is_no_tracking_uri_is_refused(uri: str, problem: str) -> None:
    with pytest.raises(RequestError) as error:
        probe(uri, write=True)
    message = str(error.value)
    assert problem in message
    assert message.startswith("tracking.uri = ")
    assert "allowed: " in message
    assert "\n" not in message
    assert "secret" not in message


def test_reading_a_sqlite_file_that_is_not_there_does_not_make_it(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        probe(f"sqlite:///{tmp_path}/mlflow.db", write=False)
    assert list(tmp_path.iterdir()) == []


def test_writing_needs_a_folder(tmp_path: Path) -> None:
    probe(f"sqlite:///{tmp_path}/mlflow.db", write=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RequestError, match="is not a writable folder"):
        probe(f"sqlite:///{tmp_path}/missing/mlflow.db", write=True)
    with pytest.raises(RequestError, match="not a file"):
        probe(f"sqlite:///{tmp_path}", write=True)


def test_redact_keeps_all_but_the_password() -> None:
    assert redact("postgresql://user:secret@host:5/db") == "postgresql://user:***@host:5/db"
    assert redact("http://host:5000") == "http://host:5000"
    assert redact("user@nowhere") == "user@nowhere"


def test_sqlite_file_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite_file("sqlite:///some/mlflow.db") == tmp_path / "some" / "mlflow.db"
    assert sqlite_file(f"sqlite:///{tmp_path}/a b.db") == tmp_path / "a b.db"
    assert sqlite_file("http://host:5000") is None


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "sqlite:///:memory:", "postgresql+psycopg://host/runs", "sqlite:////a/b.db"]
)
def test_what_names_no_relative_file_stays_as_it_is(uri: str) -> None:
    assert absolute_file(uri) == uri


def test_a_relative_file_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_file("sqlite:///runs/mlflow.db") == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert resolve_uri(None, "sqlite:///mlflow.db", tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
