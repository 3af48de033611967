"""Exports over HTTP: each is a job that leaves one zip file, under a name that says what is in it.

A job holds the base twice, so that few run at a time; the others wait in MLflow, where every service sees them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from search.documents.service import ExportRequest, ExportStatus, Format
from search.exporting import RANK, Choice
from search.service.cache.trial_cache import Reading
from search.service.jobs.ray_jobs import APART, Job, Jobs
from search.service.problems import Problem
from search.service.settings import Settings, job_options
from spaces.errors import RequestError
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.export_orders import ExportOrder, add_order, drop_order, find_orders

if TYPE_CHECKING:
    from tracking.mlflow_store.client import MlflowClient

FOLDER = "exports"
MODULE = "search.service.jobs.export_job"
PATTERN = r"^[0-9]{4,9}-(peft|merged|stock|lora(-[0-9]{1,18}([.][0-9]{1,18})?(e[+-][0-9]{1,3})?)?)(-no-rows)?$"
"""Of an identity."""

_NO_ROWS = "-no-rows"
_EXPORT = f"export{APART}"


@dataclass(frozen=True)
class Export:
    """Which adapter, in which form; `rank` of a low-rank stand-in, None where it is the usual one.

    `rows`: with those of the validation split that it was verified with.
    """

    trial: str
    form: Format
    rank: float | None
    rows: bool = True

    @property
    def identity(self) -> str:
        """The same for the same export, and a name of a file."""
        rank = f"-{self.rank:.15g}" if self.rank is not None else ""
        return f"{self.trial}-{self.form}{rank}{'' if self.rows else _NO_ROWS}"

    @classmethod
    def of(cls, identity: str) -> Export:
        """The export of an identity."""
        trial, form, *rank = identity.removesuffix(_NO_ROWS).split("-", 2)
        rows = not identity.endswith(_NO_ROWS)
        return cls(trial, cast("Format", form), float(rank[0]) if rank else None, rows)


def chosen(wanted: ExportRequest, found: Reading) -> Export:
    """What is wanted.

    Raises:
        RequestError: when the search has none such.
    """
    if wanted.trial is not None:
        states = {one.trial: one.state for one in found.trials_document().trials}
        if states.get(wanted.trial) != "finished":
            raise RequestError(f"trial {wanted.trial}: no finished trial of search {found.search.name}")
        trial = wanted.trial
    else:
        choice = Choice(wanted.max_parameters, False, wanted.choice == "knee", None)
        trial = choice.of(found.search, found.trials).plan.trial
    rows = wanted.verification_rows or wanted.format == "lora"  # which never has any
    return Export(trial, wanted.format, None if wanted.rank == RANK else wanted.rank, rows)


def file_of(settings: Settings, name: str, identity: str) -> Path:
    """Where the zip file of an export stands once it is whole."""
    return settings.storage / name / FOLDER / f"{identity}.zip"


def begin(settings: Settings, jobs: Jobs, name: str, export: Export) -> ExportStatus:
    """Ask for an export, unless it was made or is to be made; one that failed is tried again.

    Raises:
        Problem: when too many wait.
    """
    identity = export.identity
    with reading(settings.tracking_uri) as client:
        work = _Work(jobs.all(), _orders(client))
        known = work.status(settings, jobs, name, export)
        if known is not None and known.state != "failed":
            return known
        if len(work.orders) >= settings.max_queued:
            detail = f"{len(work.orders)} exports wait; allowed: {settings.max_queued}"
            raise Problem(429, detail, {"Retry-After": "60"})
        add_order(client, name, identity, len(work.attempts(name, identity)) + 1)
        submit_due(settings, jobs, client)
        after = _Work(jobs.all(), _orders(client)).status(settings, jobs, name, export)
    return after or _document(name, export, "queued")


def submit_due(settings: Settings, jobs: Jobs, client: MlflowClient) -> None:
    """Submit exports that were ordered first, as far as there is room, and tidy up behind those that ended.

    Any number of services may do so at once: a job has the same name for all of them.
    """
    known = jobs.all()
    running = sum(job.alive for one, job in known.items() if one.startswith(_EXPORT))
    for order in _orders(client):
        job = known.get(_job_name(order))
        if (job is not None and not job.alive) or _is_made(settings, order):
            tidy(settings.storage / order.name / FOLDER, order.identity)
            drop_order(client, order)
        elif job is None and running < settings.max_exports:
            jobs.submit(_job_name(order), MODULE, [order.name, order.identity, *job_options(settings)])
            running += 1


def tidy(folder: Path, identity: str) -> None:
    """Remove what a killed exporter has left of an export, of which no other one is being made."""
    for left in folder.glob(f".{identity}{APART}*"):
        shutil.rmtree(left, ignore_errors=True)


def status(settings: Settings, jobs: Jobs, name: str, identity: str) -> ExportStatus | None:
    """How an export stands; None when nobody asked for it."""
    return _work(settings, jobs).status(settings, jobs, name, Export.of(identity))


def statuses(settings: Settings, jobs: Jobs, name: str) -> list[ExportStatus]:
    """Every export of a search that was asked for, by id."""
    work = _work(settings, jobs)
    prefix = f"{_EXPORT}{name}{APART}"
    asked = {one.removeprefix(prefix).partition(APART)[0] for one in work.jobs if one.startswith(prefix)}
    asked |= {one.identity for one in work.orders if one.name == name}
    asked |= {file.name.removesuffix(".zip") for file in (settings.storage / name / FOLDER).glob("*.zip")}
    known = sorted(one for one in asked if re.fullmatch(PATTERN, one))  # somebody may keep other files there
    found = (work.status(settings, jobs, name, Export.of(one)) for one in known)
    return [one for one in found if one is not None]


@dataclass(frozen=True)
class _Work:
    """What is known of exports: Ray's jobs, and what is ordered in MLflow."""

    jobs: Mapping[str, Job]
    orders: list[ExportOrder]

    def attempts(self, name: str, identity: str) -> list[Job]:
        """Jobs for an export, the first one first."""
        prefix = _prefix(name, identity)
        numbered = {one.removeprefix(prefix): job for one, job in self.jobs.items() if one.startswith(prefix)}
        return [numbered[one] for one in sorted((one for one in numbered if one.isdigit()), key=int)]

    def status(self, settings: Settings, jobs: Jobs, name: str, export: Export) -> ExportStatus | None:
        """How an export stands; None when nobody asked for it."""
        if file_of(settings, name, export.identity).is_file():
            return _document(name, export, "finished")
        attempts = self.attempts(name, export.identity)
        if attempts and attempts[-1].alive:
            return _document(name, export, "running")
        waiting = [one for one in self.orders if _job_name(one) not in self.jobs]
        ahead = [(one.name, one.identity) for one in waiting]
        if (name, export.identity) in ahead:
            return _document(name, export, "queued", ahead=ahead.index((name, export.identity)))
        return _document(name, export, "failed", jobs.why(attempts[-1])) if attempts else None


def _work(settings: Settings, jobs: Jobs) -> _Work:
    with reading(settings.tracking_uri) as client:
        orders = _orders(client)
    return _Work(jobs.all(), orders)


def _orders(client: MlflowClient) -> list[ExportOrder]:
    """What is ordered, but for what somebody spoiled: files are named after it."""
    return [one for one in find_orders(client) if re.fullmatch(PATTERN, one.identity)]


def _is_made(settings: Settings, order: ExportOrder) -> bool:
    return file_of(settings, order.name, order.identity).is_file()


def _document(
    name: str,
    export: Export,
    state: Literal["queued", "running", "finished", "failed"],
    message: str | None = None,
    ahead: int | None = None,
) -> ExportStatus:
    return ExportStatus(
        id=export.identity,
        search=name,
        trial=export.trial,
        format=export.form,
        rank=export.rank,
        verification_rows=export.rows,
        state=state,
        ahead=ahead,
        message=message,
    )


def _job_name(order: ExportOrder) -> str:
    return f"{_prefix(order.name, order.identity)}{order.attempt}"


def _prefix(name: str, identity: str) -> str:
    return f"{_EXPORT}{name}{APART}{identity}{APART}"
