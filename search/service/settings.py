"""What an operator says about a service."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from spaces.errors import RequestError
from tracking.uri import has_password

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Settings:
    """A service and its surroundings.

    `storage`: the folder of searches, the same on every node. `roots`: folders from which a spec may read; the storage
    is one of them. `ray_jobs`: the HTTP address of Ray's dashboard. `study_storage`: the database of Optuna's studies,
    else a file beside each search. `tokens`: file of hashed tokens; without one everybody may do everything.
    """

    storage: Path
    tracking_uri: str
    ray_jobs: str = "http://127.0.0.1:8265"
    study_storage: str | None = None
    tokens: Path | None = None
    roots: tuple[Path, ...] = field(default=())
    max_running: int = 1
    max_queued: int = 100
    max_exports: int = 1
    max_body: int = 1_000_000
    requests_per_minute: int = 600

    @property
    def readable(self) -> tuple[Path, ...]:
        """Folders from which a spec may read, links followed."""
        return tuple(one.resolve() for one in (self.storage, *self.roots))


def check_secrets(settings: Settings) -> None:
    """Addresses stand in the command of every job, where all who use the cluster read them.

    Raises:
        RequestError: when one holds a password.
    """
    instead = {
        "--tracking-uri": (
            settings.tracking_uri,
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or PGPASSWORD",
        ),
        "--ray-jobs": (settings.ray_jobs, "RAY_AUTH_TOKEN"),
        "--study-storage": (settings.study_storage or "", "PGPASSWORD or ~/.pgpass"),
    }
    for option, (uri, other) in instead.items():
        if has_password(uri):
            raise RequestError(f"{option}: holds a password; allowed: none there, use {other}")


def check_host(host: str, tokens: Path | None) -> None:
    """A service without tokens is for its own machine alone.

    Raises:
        RequestError: when others could reach it.
    """
    if tokens is None and host not in LOOPBACK:
        raise RequestError(
            f"--host {host}: others could reach it without a token; allowed: 127.0.0.1, or --tokens FILE"
        )
