"""Exports of the service: each is a Ray job that writes one zip file, named after what is in it.

A job holds the base model twice in memory, so few run at a time; the others wait in MLflow, where every service finds
them.
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
from search.service.cache.trial_cache import SearchSnapshot
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
"""The pattern of an export's identity."""

_NO_ROWS = "-no-rows"
_EXPORT = f"export{APART}"


@dataclass(frozen=True)
class Export:
    """One export: the adapter of a trial in a form.

    Attributes:
        rank: of format `lora`; None where it is the usual one.
        rows: include the rows of the validation split with which the export was verified.
    """

    trial: str
    form: Format
    rank: float | None
    rows: bool = True

    @property
    def identity(self) -> str:
        """A name for files and jobs, equal for equal exports; such as `0012-lora-8-no-rows`."""
        rank = f"-{self.rank:.15g}" if self.rank is not None else ""
        return f"{self.trial}-{self.form}{rank}{'' if self.rows else _NO_ROWS}"

    @classmethod
    def parse(cls, identity: str) -> Export:
        """Return the export with this identity, which must match `PATTERN`."""
        trial, form, *rank = identity.removesuffix(_NO_ROWS).split("-", 2)
        rows = not identity.endswith(_NO_ROWS)
        return cls(trial, cast("Format", form), float(rank[0]) if rank else None, rows)


def choose_export(wanted: ExportRequest, found: SearchSnapshot) -> Export:
    """Return the export that a request asks for.

    Raises:
        RequestError: when the search has no such trial.
        NoAnswer: when no trial beats the head alone, and none is named.
    """
    if wanted.trial is not None:
        states = {one.trial: one.state for one in found.trials_document().trials}
        if states.get(wanted.trial) != "finished":
            raise RequestError(f"trial {wanted.trial}: no finished trial of search {found.search.name}")
        trial = wanted.trial
    else:
        choice = Choice(wanted.max_parameters, False, wanted.choice == "knee", None)
        trial = choice.of(found.search, found.trials).plan.trial
    rows = wanted.verification_rows or wanted.format == "lora"  # of which the identity says nothing: it never has rows
    return Export(trial, wanted.format, None if wanted.rank == RANK else wanted.rank, rows)


def file_of(settings: Settings, name: str, identity: str) -> Path:
    """Return the path of an export's zip file, which exists only when it is whole."""
    return settings.storage / name / FOLDER / f"{identity}.zip"


def request_export(settings: Settings, jobs: Jobs, name: str, export: Export) -> ExportStatus:
    """Order an export, unless it is made or ordered already; one that failed is ordered again.

    Raises:
        Problem: when too many exports wait.
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
    """Submit the exports that were ordered first, as far as there is room, and drop the orders of those that ended.

    Any number of services may do so at once, because a job has the same name for all of them.
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
    """Remove the folders that a killed job left of an export. No other job may be making the same export."""
    for left in folder.glob(f".{identity}{APART}*"):
        shutil.rmtree(left, ignore_errors=True)


def status(settings: Settings, jobs: Jobs, name: str, identity: str) -> ExportStatus | None:
    """Return the status of an export; None when it was never ordered."""
    return _work(settings, jobs).status(settings, jobs, name, Export.parse(identity))


def statuses(settings: Settings, jobs: Jobs, name: str) -> list[ExportStatus]:
    """Return the status of every export that was ordered of a search, by identity."""
    work = _work(settings, jobs)
    prefix = f"{_EXPORT}{name}{APART}"
    asked = {one.removeprefix(prefix).partition(APART)[0] for one in work.jobs if one.startswith(prefix)}
    asked |= {one.identity for one in work.orders if one.name == name}
    asked |= {file.name.removesuffix(".zip") for file in (settings.storage / name / FOLDER).glob("*.zip")}
    known = sorted(one for one in asked if re.fullmatch(PATTERN, one))  # the folder may hold other files
    found = (work.status(settings, jobs, name, Export.parse(one)) for one in known)
    return [one for one in found if one is not None]


@dataclass(frozen=True)
class _Work:
    """Ray's jobs, and the orders in MLflow."""

    jobs: Mapping[str, Job]
    orders: list[ExportOrder]

    def attempts(self, name: str, identity: str) -> list[Job]:
        """Return the jobs of an export, the first one first."""
        prefix = _prefix(name, identity)
        numbered = {one.removeprefix(prefix): job for one, job in self.jobs.items() if one.startswith(prefix)}
        return [numbered[one] for one in sorted((one for one in numbered if one.isdigit()), key=int)]

    def status(self, settings: Settings, jobs: Jobs, name: str, export: Export) -> ExportStatus | None:
        """Return the status of an export; None when it was never ordered."""
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
    """Return the orders, without those whose identity was spoiled, because files are named after it."""
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
