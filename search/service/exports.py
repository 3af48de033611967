"""Exports over HTTP: each is a job that leaves one zip file, under a name that says what is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from search.commands.exporting import RANK, Choice
from search.service.documents import ExportRequest, ExportStatus, Format
from search.service.jobs import APART, Job, Jobs
from search.service.readings import Reading
from search.service.settings import Settings, job_options
from spaces.errors import RequestError

FOLDER = "exports"
MODULE = "search.service.exporter"
PATTERN = r"^[0-9]{4,9}-(peft|merged|stock|lora(-[0-9]{1,18}([.][0-9]{1,18})?(e[+-][0-9]{1,3})?)?)$"
"""Of an identity."""


@dataclass(frozen=True)
class Export:
    """Which adapter, in which form; `rank` of a low-rank stand-in, None where it is the usual one."""

    trial: str
    form: Format
    rank: float | None

    @property
    def identity(self) -> str:
        """The same for the same export, and a name of a file."""
        return f"{self.trial}-{self.form}" + (f"-{self.rank:.15g}" if self.rank is not None else "")

    @classmethod
    def of(cls, identity: str) -> Export:
        """The export of an identity."""
        trial, form, *rank = identity.split("-", 2)
        return cls(trial, cast("Format", form), float(rank[0]) if rank else None)


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
        trial = choice.of(found.front_document(), found.front_document(confirmed=True)).trial
    return Export(trial, wanted.format, None if wanted.rank == RANK else wanted.rank)


def file_of(settings: Settings, name: str, identity: str) -> Path:
    """Where the zip file of an export stands once it is whole."""
    return settings.storage / name / FOLDER / f"{identity}.zip"


def begin(settings: Settings, jobs: Jobs, name: str, export: Export) -> ExportStatus:
    """Start an export, unless it was made or is being made; one that failed is tried again."""
    identity = export.identity
    attempts = _attempts(jobs.all(), name, identity)
    known = _status(settings, jobs, name, identity, attempts)
    if known is not None and known.state != "failed":
        return known
    jobs.submit(f"{_prefix(name, identity)}{len(attempts) + 1}", MODULE, [name, identity, *job_options(settings)])
    return _document(name, export, "running")


def status(settings: Settings, jobs: Jobs, name: str, identity: str) -> ExportStatus | None:
    """How an export stands; None when nobody asked for it."""
    return _status(settings, jobs, name, identity, _attempts(jobs.all(), name, identity))


def statuses(settings: Settings, jobs: Jobs, name: str) -> list[ExportStatus]:
    """Every export of a search that was asked for, by id."""
    known = jobs.all()
    prefix = APART.join(("export", name, ""))
    asked = {one.removeprefix(prefix).partition(APART)[0] for one in known if one.startswith(prefix)}
    files = {file.name.removesuffix(".zip") for file in (settings.storage / name / FOLDER).glob("*.zip")}
    written = {one for one in files if re.fullmatch(PATTERN, one)}  # somebody may keep other files there
    found = (_status(settings, jobs, name, one, _attempts(known, name, one)) for one in sorted(asked | written))
    return [one for one in found if one is not None]


def _status(settings: Settings, jobs: Jobs, name: str, identity: str, attempts: list[Job]) -> ExportStatus | None:
    export = Export.of(identity)
    if file_of(settings, name, identity).is_file():
        return _document(name, export, "finished")
    if not attempts:
        return None
    job = attempts[-1]
    if job.alive:
        return _document(name, export, "running")
    return _document(name, export, "failed", jobs.why(job))


def _document(
    name: str, export: Export, state: Literal["running", "finished", "failed"], message: str | None = None
) -> ExportStatus:
    return ExportStatus(
        id=export.identity,
        search=name,
        trial=export.trial,
        format=export.form,
        rank=export.rank,
        state=state,
        message=message,
    )


def _attempts(jobs: Mapping[str, Job], name: str, identity: str) -> list[Job]:
    """Jobs for an export, the first one first."""
    prefix = _prefix(name, identity)
    return sorted(
        (job for one, job in jobs.items() if one.startswith(prefix)),
        key=lambda job: int(job.name.removeprefix(prefix)),
    )


def _prefix(name: str, identity: str) -> str:
    return APART.join(("export", name, identity, ""))
