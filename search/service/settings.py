"""What an operator says about a service."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from spaces.errors import RequestError
from tracking.mlflow_store.uri import has_password

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Settings:
    """A service and its surroundings.

    `storage`: the folder of searches, the same on every node. `roots`: folders from which a spec may read; the storage
    is one of them. `ray_jobs`: the HTTP address of Ray's dashboard. `study_storage`: the database of Optuna's studies,
    else a file beside each search. `tokens`: file of hashed tokens; without one everybody may do everything.
    `request_seconds`: within which a request must have arrived whole. `proxies`: addresses and networks of proxies,
    whose word for who their client is is taken.
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
    request_seconds: float = 30.0
    proxies: tuple[str, ...] = ()

    @property
    def readable(self) -> tuple[Path, ...]:
        """Folders from which a spec may read, links followed."""
        return tuple(one.resolve() for one in (self.storage, *self.roots))


def job_options(settings: Settings) -> list[str]:
    """Options that tell a job the places of the service, as the operator named them and not as MLflow has them."""
    told = ["--storage", str(settings.storage), "--tracking-uri", settings.tracking_uri]
    told += [f"--root={root}" for root in settings.roots]
    return told + ([] if settings.study_storage is None else ["--study-storage", settings.study_storage])


def job_settings(parser: ArgumentParser, arguments: Sequence[str] | None = None) -> tuple[Namespace, Settings]:
    """Parse the arguments of a job, with the places of its service as `job_options` wrote them."""
    for option, required in (("--storage", True), ("--tracking-uri", True), ("--study-storage", False)):
        parser.add_argument(option, required=required)
    parser.add_argument("--root", action="append", type=Path, default=[])
    given = parser.parse_args(arguments)
    roots = tuple(given.root)
    return given, Settings(Path(given.storage), given.tracking_uri, study_storage=given.study_storage, roots=roots)


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


def check_proxies(proxies: Sequence[str]) -> None:
    """See that proxies are named, so that no client passes for one.

    Raises:
        RequestError: naming the one that is no address.
    """
    for one in proxies:
        try:
            network = ip_network(one)
        except ValueError:
            network = None
        if network is None or network.prefixlen == 0:
            raise RequestError(f"--proxy {one}: allowed: an address or a network, such as 10.0.0.7 or 10.1.0.0/16")


def check_host(host: str, tokens: Path | None) -> None:
    """A service without tokens is for its own machine alone.

    Raises:
        RequestError: when others could reach it.
    """
    if tokens is None and host not in LOOPBACK:
        raise RequestError(
            f"--host {host}: others could reach it without a token; allowed: 127.0.0.1, or --tokens FILE"
        )
