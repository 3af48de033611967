"""`python -m search.service.jobs.export_job NAME EXPORT`: the Ray job that writes one export as a zip file."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from search.cli.main import run
from search.service.jobs.exports import FOLDER, Export, tidy
from search.service.jobs.ray_jobs import APART
from search.service.settings import job_settings
from trainables.allowed_folders import reading_only


def main() -> int:
    """Export, verify and pack in a folder apart, then move the file to its place; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    for one in ("name", "identity"):
        parser.add_argument(one)
    given, settings = job_settings(parser)
    export = Export.parse(given.identity)
    target = settings.storage / given.name / FOLDER / given.identity
    target.parent.mkdir(parents=True, exist_ok=True)
    tidy(target.parent, given.identity)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{given.identity}{APART}") as folder:
        out = Path(folder) / f"{given.name}-{target.name}"
        places = ["--storage", str(settings.storage), "--tracking-uri", settings.tracking_uri]
        wanted = ["--out", str(out), "--trial", export.trial, "--format", export.form]
        wanted += ["--rank", str(export.rank)] if export.rank is not None else []
        wanted += [] if export.rows else ["--no-verification-rows"]
        with (
            tempfile.TemporaryDirectory() as empty,
            contextlib.chdir(empty),  # so that no name of a model is that of a folder
            reading_only(settings.readable),
        ):
            code = run(["export", given.name, *wanted, *places])
        if code == 0:
            packed = shutil.make_archive(str(Path(folder) / "packed"), "zip", root_dir=folder, base_dir=out.name)
            os.replace(packed, f"{target}.zip")
    return code


if __name__ == "__main__":
    sys.exit(main())
