"""Tracking URIs: choose the one of a command, check that something answers there, and hide its password."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from spaces.errors import RequestError, Unreachable
from spaces.tcp import try_connecting

ALLOWED = "http://HOST:PORT, https://HOST, sqlite:///FILE or postgresql+psycopg://HOST/DATABASE"
_ENVIRONMENT = ("PARETUNE_TRACKING_URI", "MLFLOW_TRACKING_URI")
_PORTS = {"http": 80, "https": 443, "postgresql": 5432}


def resolve_uri(explicit: str | None, spec_uri: str | None, storage: Path) -> str:
    """Return the tracking URI: the explicit one, else the spec's, else the environment's, else SQLite in `storage`.

    Raises:
        RequestError: when the path of `storage` cannot be written in a URI.
    """
    named = [explicit, spec_uri, *(os.environ.get(name) for name in _ENVIRONMENT)]
    for uri in named:
        if uri:
            return absolute_file(uri)
    folder = storage.expanduser().resolve()
    if set("?#%") & set(str(folder)):
        raise RequestError(f"storage = {folder}: allowed without a tracking URI: a path without ?, # and %")
    return f"sqlite:///{folder}/mlflow.db"


def reading_uri(explicit: str | None, storage: Path) -> str:
    """Return the tracking URI to read searches from, which needs no spec, and probe it.

    Raises:
        RequestError: when nothing can be read there.
    """
    uri = resolve_uri(explicit, None, storage)
    probe(uri, write=False)
    return uri


def absolute_file(uri: str) -> str:
    """Return the URI with the path of its file, if any, made absolute, so that it is the same in every folder."""
    scheme, slashes, file = uri.partition(":///")
    if not scheme.startswith("sqlite") or not file or file.startswith(":"):
        return uri
    return f"{scheme}{slashes}{Path(file).expanduser().absolute()}"


def probe(uri: str, *, write: bool) -> None:
    """Refuse a URI that cannot work, before anything waits for it. Creates nothing.

    Args:
        write: whether runs will be written, so that a SQLite file need not exist.

    Raises:
        Unreachable: for a server that does not accept a TCP connection within 2 s, or a SQLite file that is not there
            or cannot be read or written.
        RequestError: for a file store, an unknown scheme, a missing driver, or a file of something else.
    """
    url = _parse(uri)
    scheme = url.get_backend_name()
    if scheme == "sqlite":
        _probe_sqlite(uri, sqlite_file(uri), write=write)
        return
    if scheme == "postgresql":
        _probe_driver(uri, url)
    if url.host:
        _probe_tcp(uri, url.host, url.port or _PORTS[scheme])


def redact(uri: str) -> str:
    """Return the URI without its password, for messages and records."""
    try:
        return make_url(uri).render_as_string(hide_password=True) if "@" in uri else uri
    except (ArgumentError, ValueError):
        return uri


def has_password(uri: str) -> bool:
    """Tell whether the URI holds a password, also in its query; an empty one, as in `user:@host`, is none."""
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        return False
    return bool(url.password) or "password" in url.query


def sqlite_file(uri: str) -> Path | None:
    """Return the absolute path of the file of a SQLite URI; None for any other URI.

    Raises:
        RequestError: for a SQLite database in memory.
    """
    if not uri.startswith("sqlite:"):
        return None
    database = make_url(uri).database
    if not database or database == ":memory:":
        raise RequestError(f"tracking.uri = {uri}: keeps nothing; allowed: sqlite:///FILE")
    return Path(database).absolute()


def _parse(uri: str) -> URL:
    scheme = uri.partition(":")[0] if ":" in uri else ""
    if scheme in ("", "file"):
        raise RequestError(f"tracking.uri = {uri}: MLflow's file store; allowed: sqlite:///FILE, or {ALLOWED}")
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        raise RequestError(f"tracking.uri = {uri}: not a URI; allowed: {ALLOWED}") from None
    backend = url.get_backend_name()
    if backend not in (*_PORTS, "sqlite"):
        raise RequestError(f"tracking.uri = {redact(uri)}: unknown scheme {scheme!r}; allowed: {ALLOWED}")
    if not url.host and backend in ("http", "https"):
        raise RequestError(f"tracking.uri = {uri}: names no host; allowed: {ALLOWED}")
    return url


def _probe_tcp(uri: str, host: str, port: int) -> None:
    try:
        try_connecting(host, port)
    except OSError:
        raise Unreachable(
            f"tracking.uri = {redact(uri)}: nothing answers at {host}:{port}; allowed: a reachable MLflow tracking URI"
        ) from None


def _probe_driver(uri: str, url: URL) -> None:
    try:
        url.get_dialect().import_dbapi()
    except (ImportError, NoSuchModuleError):
        raise RequestError(
            f"tracking.uri = {redact(uri)}: no driver for {url.drivername}; allowed: postgresql+psycopg://, "
            "with the extra paretune[postgresql] installed"
        ) from None


def _probe_sqlite(uri: str, file: Path | None, *, write: bool) -> None:
    assert file is not None
    if file.is_file():
        if not os.access(file, os.W_OK if write else os.R_OK):
            raise Unreachable(f"tracking.uri = {uri}: no permission; allowed: a SQLite file of your own")
    elif not write:
        raise Unreachable(f"tracking.uri = {uri}: no such file; allowed: the tracking URI of an earlier search")
    if write and not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        raise Unreachable(f"tracking.uri = {uri}: {file.parent} is not a writable folder; allowed: one that is")
    if file.exists() and not file.is_file():
        raise RequestError(f"tracking.uri = {uri}: not a file; allowed: sqlite:///FILE")
    try:
        tables = _tables(file) if file.exists() else None
    except sqlite3.DatabaseError:
        foreign = True
    else:
        # MLflow would put its own tables in between, even to read.
        foreign = tables is not None and "experiments" not in tables and bool(tables or not write)
    if foreign:
        raise RequestError(f"tracking.uri = {uri}: not a database of MLflow; allowed: one of MLflow, or a new file")


def _tables(file: Path) -> set[str] | None:
    """Return the names of the tables of a SQLite file; None where it cannot be opened or is busy, which MLflow reports.

    Raises:
        sqlite3.DatabaseError: when it is a file of something else.
    """
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:
        return None
