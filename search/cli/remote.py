"""`launch`, `status` and `stop`: searches that run elsewhere, in a service or in a process of their own."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from search.client import Client
from search.command_process import command, last_complaint
from search.documents.service import SearchStatus
from search.storage import search_folder
from search.terminal import print_json
from spaces.errors import RequestError, WorkError
from spaces.spec.spec import SearchSpec, dump_spec, load_spec
from spaces.trials.ledger import Ledger
from tracking.mlflow_store.uri import reading_uri
from tracking.reports.table_layout import plain_table

BEGIN_SECONDS = 300.0


def launch(spec_path: Path, overrides: list[str], server: str | None, address: str | None, given: str | None) -> None:
    """Have a search run: by a service, at once, or in a process of its own, as soon as it has begun.

    The same spec again is the same search.

    Raises:
        RequestError: when the request is wrong.
        WorkError: when the search does not begin.
    """
    spec = load_spec(spec_path, overrides)
    search_folder.check_name(spec.name)
    places = {"--address": address, "--tracking-uri": given}
    options = {option: value for option, value in places.items() if value is not None}
    if server is not None:
        _launch_there(spec, server, options)
    else:
        _launch_here(spec, options)


def _launch_there(spec: SearchSpec, server: str, options: Mapping[str, str]) -> None:
    for option, value in options.items():
        raise RequestError(f"{option} {value}: the service has its own; allowed: nothing with --server")
    status = Client(server).launch(spec)
    print(f"search {status.search} is {status.state}; `paretune status {status.search} --server {server}` says more")


def _launch_here(spec: SearchSpec, options: Mapping[str, str]) -> None:
    from search.driver.preflight import absolute

    spec = absolute(spec)
    if search_folder.exists(spec.home):
        _check_same(spec)
        print(f"search {spec.name} was launched before; `paretune status {spec.name}` says how it stands")
        return
    spec.home.parent.mkdir(parents=True, exist_ok=True)
    log = spec.home.with_name(f"{spec.name}.log")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".yaml") as written, log.open("w") as out:
        written.write(dump_spec(spec))
        written.flush()
        process = subprocess.Popen(
            command(["search", written.name, *(part for pair in options.items() for part in pair)]),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        _wait_until_it_begins(spec.home, process, log)
    print(f"search {spec.name} runs; `paretune status {spec.name}` says how it stands, {log} what it prints")


def _check_same(spec: SearchSpec) -> None:
    """Refuse a spec whose name another search has."""
    begun = load_spec(spec.home / search_folder.SPEC)
    if begun.objective.positive is not None and spec.objective.positive is None:  # it was looked up in the data
        spec = spec.model_copy(update={"objective": begun.objective})
    if begun != spec:
        raise search_folder.taken(spec.name)


def _wait_until_it_begins(home: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + BEGIN_SECONDS
    while not search_folder.exists(home):
        code = process.poll()
        if code is not None:
            said = (
                last_complaint(log.read_text(encoding="utf-8", errors="replace"))
                or f"the search ended at once; {log} says why"
            )
            raise (RequestError if code == 2 else WorkError)(said)
        if time.monotonic() > deadline:
            raise WorkError(f"the search has not begun within {BEGIN_SECONDS:g} s; {log} may say why")
        time.sleep(0.1)


def status(name: str, server: str | None, given: str | None, storage: Path, as_json: bool, console: Console) -> None:
    """Print the state of a search, its best points, and the trials that run here."""
    if server is not None:
        found = Client(server).status(name)
    else:
        from search.service.status.search_status import local_status

        found = local_status(reading_uri(given, storage), storage, name)
    if as_json:
        print_json(found)
        return
    console.print(_table(found))
    if server is None and (running := list(_running(storage / name))):
        console.print(f"running: {', '.join(running)}", highlight=False, soft_wrap=True)


def _running(home: Path) -> Iterator[str]:
    """Name the trials in this storage that are being trained, each with its step and loss."""
    for folder in Ledger(home).trials():
        progress = folder.progress()
        if progress is not None:
            yield f"{folder.path.name} {folder.plan().method} step {progress.step} loss {progress.loss:.4g}"


def stop(name: str, server: str | None, storage: Path) -> None:
    """Ask a search to end cleanly, and return at once.

    Raises:
        RequestError: when there is no such search, or it is finished.
    """
    if server is not None:
        found = Client(server).stop(name)
        print(f"search {name} is {found.state}")
        return
    home = search_folder.find("stop", storage, name)
    if search_folder.is_finished(home):
        raise RequestError(f"stop {name}: is finished; allowed: a search that runs")
    search_folder.ask_to_stop(home)
    print(f"search {name} was asked to stop; `paretune resume {name}` goes on with it")


def resume(name: str, server: str) -> int:
    """Have a service go on with a search; the exit code is 0."""
    found = Client(server).resume(name)
    print(f"search {name} is {found.state}")
    return 0


def _table(status: SearchStatus) -> Table:
    table = plain_table(show_header=False)
    counts, planned = status.trials, "" if status.planned is None else f" of {status.planned}"
    table.add_row("search", status.search)
    table.add_row("state", status.state + (f": {status.message}" if status.message else ""))
    table.add_row("base", status.base_model)
    ended = counts.finished + counts.stopped + counts.failed
    states = f"{counts.finished} finished, {counts.stopped} stopped, {counts.failed} failed"
    table.add_row("trials", f"{ended}{planned} ended: {states}")
    if status.eta_seconds is not None:
        table.add_row("to go", f"about {status.eta_seconds / 60:.0f} min")
    if status.hypervolume is not None:
        table.add_row("hypervolume", f"{status.hypervolume:.3f}")
    for name, point in (("best", status.best), ("knee", status.knee)):
        if point is not None and status.objective is not None:
            size = f"{point.trainable_parameters:,} parameters"
            measured = status.objective.metric + (", confirmed" if point.confirmed_quality is not None else "")
            score = point.score(confirmed=True)
            table.add_row(name, f"{score:.4f} {measured}, {size}: {point.method}, trial {point.trial}")
    if status.best is None and counts.finished:
        table.add_row("best", "none: no trial is known to beat the head alone")
    return table
