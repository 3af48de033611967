"""`python -m search.service.jobs.export_job NAME EXPORT`: the Ray job that writes one export as a zip file."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from search.command_process import exit_code
from search.exporting import export
from search.service.jobs.exports import FOLDER, Export, tidy
from search.service.jobs.ray_jobs import APART
from search.service.settings import Settings, job_settings, within


def main() -> int:
    """Export, verify and pack in a folder apart, then move the file to its place; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    for one in ("name", "identity"):
        parser.add_argument(one)
    given, settings = job_settings(parser)
    wanted = Export.parse(given.identity)
    target = settings.storage / given.name / FOLDER / given.identity
    target.parent.mkdir(parents=True, exist_ok=True)
    tidy(target.parent, given.identity)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{given.identity}{APART}") as folder:
        out = Path(folder) / f"{given.name}-{target.name}"
        with (
            tempfile.TemporaryDirectory() as empty,
            contextlib.chdir(empty),  # so that no name of a model is that of a folder
            within(settings),
        ):
            code = exit_code(lambda: _write(given.name, wanted, out, settings))
        if code == 0:
            packed = shutil.make_archive(str(Path(folder) / "packed"), "zip", root_dir=folder, base_dir=out.name)
            os.replace(packed, f"{target}.zip")
    return code


def _write(name: str, wanted: Export, out: Path, settings: Settings) -> None:
    exported = export(
        name,
        out,
        trial=wanted.trial,
        format=wanted.form,
        rank=wanted.rank,
        verification_rows=wanted.rows,
        storage=settings.storage,
        tracking_uri=settings.tracking_uri,
    )
    print(exported)


if __name__ == "__main__":
    sys.exit(main())
