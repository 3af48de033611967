"""Exports over HTTP: each is a job that leaves one zip file, under a name that says what is in it."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from search.commands.exporting import Choice
from search.service.documents import ExportRequest, ExportStatus, Format
from search.service.jobs import APART, Job, Jobs
from search.service.readings import Reading
from search.service.settings import Settings
from spaces.errors import RequestError

FOLDER = "exports"
MODULE = "search.service.exports"


def chosen(wanted: ExportRequest, found: Reading) -> str:
    """The id of the trial that is wanted.

    Raises:
        RequestError: when the search has none such.
    """
    if wanted.trial is not None:
        states = {one.trial: one.state for one in found.trials_document().trials}
        if states.get(wanted.trial) != "finished":
            raise RequestError(f"trial {wanted.trial}: no finished trial of search {found.search.name}")
        return wanted.trial
    choice = Choice(wanted.max_parameters, False, wanted.choice == "knee", None)
    return choice.of(found.front_document(), found.front_document(confirmed=True)).trial


def file_of(settings: Settings, name: str, identity: str) -> Path:
    """Where the zip file of an export stands once it is whole."""
    return settings.storage / name / FOLDER / f"{identity}.zip"


def begin(settings: Settings, jobs: Jobs, name: str, trial: str, form: Format) -> ExportStatus:
    """Start an export, unless it was made or is being made; one that failed is tried again."""
    identity = f"{trial}-{form}"
    attempts = _attempts(jobs.all(), name, identity)
    known = _status(settings, jobs, name, identity, attempts)
    if known is None or known.state == "failed":
        arguments = [name, trial, form, "--storage", str(settings.storage), "--tracking-uri", settings.tracking_uri]
        jobs.submit(f"{_prefix(name, identity)}{len(attempts) + 1}", MODULE, arguments)
    return ExportStatus(id=identity, search=name, trial=trial, format=form, state="running", message=None)


def status(settings: Settings, jobs: Jobs, name: str, identity: str) -> ExportStatus | None:
    """How an export stands; None when nobody asked for it."""
    return _status(settings, jobs, name, identity, _attempts(jobs.all(), name, identity))


def statuses(settings: Settings, jobs: Jobs, name: str) -> list[ExportStatus]:
    """Every export of a search that was asked for, by id."""
    known = jobs.all()
    prefix = APART.join(("export", name, ""))
    asked = {one.removeprefix(prefix).partition(APART)[0] for one in known if one.startswith(prefix)}
    written = {file.stem for file in (settings.storage / name / FOLDER).glob("*.zip")}
    found = (_status(settings, jobs, name, one, _attempts(known, name, one)) for one in sorted(asked | written))
    return [one for one in found if one is not None]


def _status(settings: Settings, jobs: Jobs, name: str, identity: str, attempts: list[Job]) -> ExportStatus | None:
    trial, _, form = identity.partition("-")
    values = {"id": identity, "search": name, "trial": trial, "format": form, "message": None}
    if file_of(settings, name, identity).is_file():
        return ExportStatus.model_validate(values | {"state": "finished"})
    if not attempts:
        return None
    job = attempts[-1]
    if job.alive:
        return ExportStatus.model_validate(values | {"state": "running"})
    message = jobs.last_line(job.name) or job.message
    return ExportStatus.model_validate(values | {"state": "failed", "message": message})


def _attempts(jobs: Mapping[str, Job], name: str, identity: str) -> list[Job]:
    """Jobs for an export, the first one first."""
    prefix = _prefix(name, identity)
    return sorted(
        (job for one, job in jobs.items() if one.startswith(prefix)),
        key=lambda job: int(job.name.removeprefix(prefix)),
    )


def _prefix(name: str, identity: str) -> str:
    return APART.join(("export", name, identity, ""))


def main() -> int:
    """The job: write, verify, pack, and only then give the file its name."""
    from search.cli import run

    parser = argparse.ArgumentParser(description=__doc__)
    for one in ("name", "trial", "format"):
        parser.add_argument(one)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--tracking-uri", required=True)
    given = parser.parse_args()
    target = given.storage / given.name / FOLDER / f"{given.trial}-{given.format}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
        out = Path(folder) / f"{given.name}-{target.name}"
        places = ["--storage", str(given.storage), "--tracking-uri", given.tracking_uri]
        wanted = ["--out", str(out), "--trial", given.trial, "--format", given.format]
        with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):  # names of models are no folders
            code = run(["export", given.name, *wanted, *places])
        if code == 0:
            packed = shutil.make_archive(str(Path(folder) / "packed"), "zip", root_dir=folder, base_dir=out.name)
            os.replace(packed, f"{target}.zip")
    return code


if __name__ == "__main__":
    sys.exit(main())
