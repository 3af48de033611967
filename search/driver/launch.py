"""`search` and `resume`: from a request to a run, and what is said at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from search.driver.preflight import absolute, check
from search.driver.run import resume as run_resume
from search.driver.run import start as run_start
from search.driver.summary import HTML, PNG, Summary
from search.ray_cluster.address import check_address
from search.storage import search_folder
from search.storage.checks import check_tracking
from spaces.errors import WorkError
from spaces.spec.spec import SearchSpec, load_spec
from tracking.mlflow_store.uri import resolve_uri
from tracking.reports.tables import answer_note, front_table, ties_note


def search(spec_path: Path, overrides: list[str], address: str | None, given: str | None, console: Console) -> int:
    """Run a new search.

    Raises:
        RequestError: when the request is wrong; nothing has been written then.
    """
    spec = absolute(load_spec(spec_path, overrides))
    with resumable(spec.home):
        prepared, uri = check(spec, given, address, console)
        return conclude(run_start(prepared, uri, address, console), spec, console)


def resume(name: str, storage: Path, address: str | None, given: str | None, console: Console) -> int:
    """Go on with a search, also with one that was asked to stop.

    Raises:
        RequestError: when there is no such search in the storage.
    """
    home = search_folder.find("resume", storage, name)
    search_folder.take_back_stop(home)
    return take_up(home, address, given, console)


def take_up(home: Path, address: str | None, given: str | None, console: Console) -> int:
    """Go on with the search that lives there, unless it was asked to stop.

    Raises:
        RequestError: when it cannot go on as it stands.
    """
    spec, identity = search_folder.read(home)
    search_folder.check_place(home, spec)
    uri = resolve_uri(given, identity.tracking_uri or spec.tracking.uri, Path(spec.storage))
    check_tracking(uri, Path(spec.storage), spec.tracking.experiment)
    if address is not None:
        check_address(address)
    with resumable(home):
        return conclude(run_resume(home, uri, address, console), spec, console)


@contextmanager
def resumable(home: Path) -> Iterator[None]:
    """Say how to go on after a second Ctrl-C, or when the disk is full, if there is a search to go on with."""
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


def conclude(summary: Summary, spec: SearchSpec, console: Console) -> int:
    """Print the front and where its pictures are; 1 when no trial finished."""
    console.print(front_table(summary.front))
    _say(answer_note(summary.front), console)
    if summary.confirmed.front:
        console.print(front_table(summary.confirmed, confirmed=True))
        _say(ties_note(summary.confirmed), console)
    if summary.near_head:
        _say(
            "The best trial is not told apart from the head alone: more validation rows or seeds may turn them.",
            console,
        )
    if summary.waiting:
        console.print(
            f"MLflow does not answer: {summary.waiting} events wait in {spec.home}, "
            f"and `paretune resume {spec.name}` sends them.",
            soft_wrap=True,
        )
    if summary.ended_early:
        console.print(
            f"Ended early: {summary.ended_early}. `paretune resume {spec.name}` goes on.",
            highlight=False,
            soft_wrap=True,
        )
    elif shortage := _shortage(summary, spec):
        console.print(shortage, highlight=False, soft_wrap=True)
    if not summary.front.front:
        console.print(f"No trial finished; `paretune trials {spec.name}` says why.")
        return 1
    for picture in (HTML, PNG):
        console.print(f"wrote {spec.home / picture}", highlight=False, soft_wrap=True)
    return 0


def _say(note: str, console: Console) -> None:
    if note:
        console.print(note, highlight=False, soft_wrap=True)


def _shortage(summary: Summary, spec: SearchSpec) -> str | None:
    """Why a search that came to its end has fewer trials than it was to have, if it has."""
    trials, limit = summary.trials.trials, spec.search.max_total_steps
    if len(trials) >= spec.search.trials:
        return None
    short = f"{len(trials)} of {spec.search.trials} trials: "
    if limit is not None and sum(one.steps or 0 for one in trials) + spec.training.max_steps > limit:
        return f"{short}search.max_total_steps = {limit} leaves no room for another."
    return f"{short}no configuration was found that lies within the budget and was not tried."
