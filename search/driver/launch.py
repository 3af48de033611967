"""`search` and `resume`: from a request to a run and its result, for the command line, the service and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from search.driver.preflight import absolute, check
from search.driver.result import SearchResult
from search.driver.run import resume as run_resume
from search.driver.run import start as run_start
from search.ray_cluster.address import check_address
from search.storage import search_folder
from search.storage.checks import check_tracking
from search.terminal import console as new_console
from spaces.errors import RequestError, WorkError
from spaces.spec.defaults import DEFAULT_STORAGE
from spaces.spec.own_metric import keep
from spaces.spec.spec import SearchSpec, apply_override, load_spec, parse_spec
from spaces.spec.yaml_file import read_yaml
from tracking.mlflow_store.uri import resolve_uri


def search(
    spec: SearchSpec | Mapping[str, Any] | str | Path,
    *,
    metric: Callable[[Any, Any], Any] | None = None,
    address: str | None = None,
    tracking_uri: str | None = None,
    console: Console | None = None,
) -> SearchResult:
    """Run a new search, and show its progress.

    Args:
        spec: a spec, its fields as a dictionary, or the path of its YAML file; local paths in it are relative to the
            current folder.
        metric: a function of predictions and references that measures quality, in place of `objective.metric`, where a
            dictionary may have it too; its attributes `mode` and `perfect` are its direction and best value. A resume
            needs it again unless it can be imported.
        address: a Ray cluster, HOST:PORT or `auto`; by default Ray starts on this machine.
        tracking_uri: MLflow's address; by default that of the spec, else of the environment, else a SQLite file in the
            storage.
        console: where progress is shown; by default the standard output.

    Raises:
        RequestError: when the request is wrong; nothing has been written then.
        WorkError: when the search fails or is interrupted; `resume` goes on with it.
    """
    console, asked = console or new_console(), absolute(_as_spec(spec, metric))
    with resumable(asked.home):
        prepared, uri = check(asked, tracking_uri, address, console)
        return SearchResult(prepared.spec, run_start(prepared, uri, address, console))


def _as_spec(spec: SearchSpec | Mapping[str, Any] | str | Path, metric: Callable[[Any, Any], Any] | None) -> SearchSpec:
    objective = spec.get("objective") if isinstance(spec, Mapping) else None
    if metric is None and isinstance(objective, Mapping) and callable(objective.get("metric")):
        metric = objective["metric"]
    if metric is not None:
        name = keep(metric)
        return parse_spec(apply_override(_values(spec), f"objective.metric={name}"))
    if isinstance(spec, SearchSpec):
        return spec
    return load_spec(spec) if isinstance(spec, str | Path) else parse_spec(dict(spec))


def _values(spec: SearchSpec | Mapping[str, Any] | str | Path) -> Any:
    if isinstance(spec, SearchSpec):
        return spec.model_dump(mode="json", exclude_unset=True)
    return read_yaml(Path(spec)) if isinstance(spec, str | Path) else dict(spec)


def resume(
    name: str,
    *,
    metric: Callable[[Any, Any], Any] | None = None,
    storage: str | Path = DEFAULT_STORAGE,
    address: str | None = None,
    tracking_uri: str | None = None,
    console: Console | None = None,
) -> SearchResult:
    """Go on with a search after a crash or a stop; of a finished one, return the result.

    Args:
        metric: the function that measures quality, where the search began with one.
        storage: the folder in which searches keep their runs.
        address, tracking_uri, console: as for `search`; MLflow's address is by default the one that the search used.

    Raises:
        RequestError: when there is no such search in the storage, or it cannot go on as things are.
        WorkError: when the search fails or is interrupted again.
    """
    home = search_folder.find("resume", Path(storage), name)
    if metric is not None:
        _keep_again(metric, search_folder.read(home)[0])
    search_folder.take_back_stop(home)
    return take_up(home, address=address, tracking_uri=tracking_uri, console=console)


def _keep_again(metric: Callable[[Any, Any], Any], spec: SearchSpec) -> None:
    """Keep the function of a search that began with one, under the name that it had then."""
    if not spec.metric.is_own:
        raise RequestError(f"metric: search {spec.name!r} began with metric {spec.metric.name}; allowed: none")
    keep(metric, spec.metric.name)


def take_up(
    home: Path, *, address: str | None = None, tracking_uri: str | None = None, console: Console | None = None
) -> SearchResult:
    """Go on with the search in the folder `home`, unless it was asked to stop.

    Raises:
        RequestError: when it cannot go on as things are.
    """
    spec, identity = search_folder.read(home)
    search_folder.check_place(home, spec)
    uri = resolve_uri(tracking_uri, identity.tracking_uri or spec.tracking.uri, Path(spec.storage))
    check_tracking(uri, Path(spec.storage), spec.tracking.experiment)
    if address is not None:
        check_address(address)
    with resumable(home):
        return SearchResult(spec, run_resume(home, uri, address, console or new_console()))


@contextmanager
def resumable(home: Path) -> Iterator[None]:
    """After a second Ctrl-C or on a full disk, say how to go on, if there is a search to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        if not search_folder.exists(home):
            raise
        raise WorkError(f"interrupted; `paretune resume {home.name}` goes on") from None
    except ConnectionError:
        raise
    except OSError as error:
        told = f"{error.filename or home}: {error.strerror or error}"
        more = f"; once that is mended, `paretune resume {home.name}` goes on" if search_folder.exists(home) else ""
        raise WorkError(f"{told}{more}") from error
