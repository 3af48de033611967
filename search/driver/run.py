"""The driver: run a new search to its front, or resume one."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
import ray
from rich.console import Console

from search.driver.interruption import Interruption
from search.driver.metric_check import check_metric_on_nodes
from search.driver.outlook import hopeless
from search.driver.phases import Run, confirm_phase, search_phase, share
from search.driver.preflight import Prepared, check_begun
from search.driver.recorder import Recorder
from search.driver.summary import Summary, is_written, summarise_run, summarise_tracked, write_pictures
from search.ray_cluster.connect import check_resources, connect, gpus_for, quiet_environment
from search.ray_cluster.head_watch import watched_head
from search.storage import search_folder
from search.storage.checks import provisional
from search.suggest.study import answering, open_study
from search.suggest.study_trials import reconcile, rejected_count
from search.terminal import announce
from spaces.errors import Hopeless, RequestError
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from tracking.mlflow_store.uri import has_password
from tracking.writing.search_writer import SearchWriter
from trainables.base_model.attention import FLASH

DRAIN_SECONDS = 15.0


def start(prepared: Prepared, uri: str, address: str | None, console: Console) -> Summary:
    """Run a new search that `preflight.check` passed. Nothing is written before the cluster was seen to serve.

    Raises:
        RequestError: when it does not, or when another driver took the name.
        Hopeless: when the reference fails, or all of the first trials do in the same way.
    """
    spec = prepared.spec
    with provisional(spec.home), search_folder.held(spec.home):
        if search_folder.exists(spec.home):  # since the name was looked up
            raise search_folder.taken(spec.name)
        with _cluster(spec, address, console) as gpus, answering(spec):
            check_metric_on_nodes(prepared)
            search_id = uuid.uuid4().hex
            kept = None if has_password(uri) else uri
            study = open_study(spec, search_id, spec.home)
            search_folder.create(spec, search_folder.Identity(search_id, prepared.fingerprints(), kept))
            return _run(prepared, study, search_id, uri, gpus, console)


def resume(home: Path, uri: str, address: str | None, console: Console) -> Summary:
    """Resume a search from wherever it is; of a finished one, only flush what MLflow lacks.

    The failed trainings of a search that was given up are tried again.

    Raises:
        RequestError: when its model or data are gone or have changed, or another driver runs it.
        Hopeless: as in `start`.
    """
    spec, identity = search_folder.read(home)
    with search_folder.held(home):
        if search_folder.is_finished(home):
            return _catch_up(spec, identity.search_id, uri)
        prepared = check_begun(spec, identity, uri, console)
        with _cluster(spec, address, console, begun=True) as gpus, answering(spec):
            check_metric_on_nodes(prepared)
            study = open_study(spec, identity.search_id, home)
            return _run(prepared, study, identity.search_id, uri, gpus, console)


@contextmanager
def _cluster(spec: SearchSpec, address: str | None, console: Console, *, begun: bool = False) -> Iterator[float]:
    """Connect to Ray within the block and yield the GPUs of one trial; a Ray that this process had before stays."""
    with ExitStack() as ending:
        quiet_environment()
        own = address is not None or not ray.is_initialized()
        if own:
            ending.callback(ray.shutdown)
            announce(console, "starting Ray" if address is None else f"joining the Ray cluster at {address}")
            connect(address, spec.home)
        ending.enter_context(watched_head(spec.name, console))
        if own:
            ending.callback(ray.shutdown)  # while the head is watched: without a head, this hangs as well
        gpus = gpus_for(spec.resources.gpus)
        check_resources(spec.resources.cpus, gpus, had_them=begun)
        if spec.model.attention == FLASH and not gpus:
            raise RequestError(
                f"model.attention = {FLASH}: needs a GPU, and trials have none; allowed: auto, sdpa, eager"
            )
        yield gpus


def _catch_up(spec: SearchSpec, search_id: str, uri: str) -> Summary:
    """Flush the outbox of a finished search, and rewrite its front if runs were missing."""
    writer = SearchWriter(uri, spec, search_id, spec.home)
    try:
        if not writer.has_ended(None):  # the driver was killed between its last two steps
            writer.end_search("finished")
        summary = summarise_tracked(uri, spec.name, waiting=writer.drain(DRAIN_SECONDS))
        if not summary.waiting and not is_written(summary, spec.home):
            for picture in write_pictures(summary, spec.home):
                writer.upload(picture)
    finally:
        waiting = writer.close(DRAIN_SECONDS)
    return dataclasses.replace(summary, waiting=waiting)


def _run(prepared: Prepared, study: optuna.Study, search_id: str, uri: str, gpus: float, console: Console) -> Summary:
    """Make study and ledger agree, run both phases, and record the end in MLflow however it comes."""
    spec, inventory = prepared.spec, prepared.inventory
    ledger = Ledger(spec.home).taken_over()
    for folder in hopeless(ledger, spec, prepared.budget):
        folder.begin_anew()
    reconcile(study, ledger, spec)
    writer = SearchWriter(uri, spec, search_id, spec.home)
    interruption = Interruption(spec.search.time_limit, spec.home / search_folder.STOP)
    patience = DRAIN_SECONDS
    finished = False
    try:
        rows = {"train": prepared.train.examples, "validation": len(prepared.validation)}
        writer.start_search(prepared.budget, inventory.base_parameters, inventory.head_parameters, rows)
        recorder = Recorder(ledger, writer, prepared.budget, spec.metric, rejected=rejected_count(study))
        recorder.take_up()
        run = Run(prepared, ledger, study, writer, recorder, console, gpus, interruption)
        with interruption.watch():
            summary = _search_and_confirm(run, uri)
        finished = interruption.hopeless is None and interruption.ended is None
        if finished:
            search_folder.mark_finished(spec.home)
        patience = 0 if summary.waiting else DRAIN_SECONDS
    except KeyboardInterrupt:
        patience = 0  # the second signal: unsent events stay in the outbox
        raise
    finally:
        if interruption.hopeless is not None:
            writer.end_search("failed", interruption.hopeless)
        else:
            writer.end_search("finished" if finished else "stopped")
        writer.close(patience)
    if interruption.hopeless is not None:
        raise Hopeless(
            f"search {spec.name!r} was given up: {interruption.hopeless}; "
            f"once that is mended, `paretune resume {spec.name}` tries again"
        )
    return dataclasses.replace(summary, ended_early=interruption.ended)


def _search_and_confirm(run: Run, uri: str) -> Summary:
    """Run both phases, unless the first one ended early, and write the front."""
    shared = share(run.prepared, run.ledger)
    search_phase(run, shared)
    if run.interruption.hopeless is None and run.interruption.ended is None:
        confirm_phase(run, shared)
    summary = summarise_run(run.prepared, run.recorder, uri, waiting=run.writer.drain(DRAIN_SECONDS))
    for picture in write_pictures(summary, run.spec.home):
        run.writer.upload(picture)
    return summary
