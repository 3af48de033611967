"""The settings of a service, given by its operator, and how they reach its jobs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from spaces.errors import RequestError
from spaces.spec.own_metric import importing_only, is_own
from tracking.mlflow_store.uri import has_password
from trainables.allowed_folders import reading_only

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Settings:
    """Places and limits of a service.

    Attributes:
        storage: the folder of searches, at the same path on every node.
        tracking_uri: the address of MLflow.
        ray_jobs: the HTTP address of Ray's dashboard.
        study_storage: the database of Optuna's studies; None: a file in the folder of each search.
        tokens: the file of hashed tokens; None: every client may do everything.
        roots: folders from which a spec may read, beside the storage.
        max_running: searches that run at the same time.
        max_queued: searches, and exports, that may wait.
        max_exports: exports that are made at the same time.
        max_body: largest body of a request, in bytes.
        requests_per_minute: of one client.
        request_seconds: time within which a request must have arrived.
        proxies: addresses and networks of proxies, whose headers are trusted to name their clients.
        metric_modules: modules whose functions specs may name as metrics; jobs import them.
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
    metric_modules: tuple[str, ...] = ()

    @property
    def readable(self) -> tuple[Path, ...]:
        """Folders from which a spec may read, the storage among them, with links resolved."""
        return tuple(one.resolve() for one in (self.storage, *self.roots))


def job_options(settings: Settings) -> list[str]:
    """Return command line options with the places and modules of a service for a job, which must not take others."""
    told = ["--storage", str(settings.storage), "--tracking-uri", settings.tracking_uri]
    told += [f"--root={root}" for root in settings.roots]
    told += [f"--metric-module={module}" for module in settings.metric_modules]
    return told + ([] if settings.study_storage is None else ["--study-storage", settings.study_storage])


def job_settings(parser: ArgumentParser, arguments: Sequence[str] | None = None) -> tuple[Namespace, Settings]:
    """Parse the arguments of a job, among them the places of its service as `job_options` wrote them.

    Args:
        parser: has the job's own arguments already.
        arguments: those of the process where there are none given.
    """
    for option, required in (("--storage", True), ("--tracking-uri", True), ("--study-storage", False)):
        parser.add_argument(option, required=required)
    parser.add_argument("--root", action="append", type=Path, default=[])
    parser.add_argument("--metric-module", action="append", default=[])
    given = parser.parse_args(arguments)
    return given, Settings(
        Path(given.storage),
        given.tracking_uri,
        study_storage=given.study_storage,
        roots=tuple(given.root),
        metric_modules=tuple(given.metric_module),
    )


@contextmanager
def within(settings: Settings) -> Iterator[None]:
    """Let this process read models and data, and import metrics, only as the operator of a service allows it."""
    with reading_only(settings.readable), importing_only(settings.metric_modules):
        yield


def check_secrets(settings: Settings) -> None:
    """Check that no address holds a password: addresses are in the command of every job, which the cluster shows.

    Raises:
        RequestError: when one does.
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
    """Check that every proxy is an address or a network, but not all addresses, so that no client passes for one.

    Raises:
        RequestError: when one is not.
    """
    for one in proxies:
        try:
            network = ip_network(one)
        except ValueError:
            network = None
        if network is None or network.prefixlen == 0:
            raise RequestError(f"--proxy {one}: allowed: an address or a network, such as 10.0.0.7 or 10.1.0.0/16")


def check_metric_modules(modules: Sequence[str]) -> None:
    """Check that each is the name of a module; whether there is one, jobs alone know.

    Raises:
        RequestError: when one is not.
    """
    for one in modules:
        if not is_own(f"{one}:function"):
            raise RequestError(f"--metric-module {one}: allowed: the name of a module, such as our_metrics")


def check_host(host: str, tokens: Path | None) -> None:
    """Check that a service without tokens listens on a loopback address only.

    Raises:
        RequestError: when other machines could reach it.
    """
    if tokens is None and host not in LOOPBACK:
        raise RequestError(
            f"--host {host}: others could reach it without a token; allowed: 127.0.0.1, or --tokens FILE"
        )
