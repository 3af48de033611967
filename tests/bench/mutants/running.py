"""Runs tests on a mutant: a process that is forked with the heavy libraries loaded, on a copy of the repository."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.mutants.targets import ROOT

HEAVY = ("numpy", "scipy.stats", "torch", "transformers", "peft", "optuna", "mlflow", "pandas", "hypothesis")
"""Loaded before the fork, for that takes longer than most tests; none of them is ours."""

OURS = ("spaces", "trainables", "tracking", "search", "tests", "paretune")
NOT_THESE = "not integration and not cluster"


def preload() -> None:
    """Import the heavy libraries, once for all mutants."""
    for name in HEAVY:
        importlib.import_module(name)


@contextmanager
def copy_of_repository(folder: Path) -> Iterator[Path]:
    """The tracked files of the repository in `folder`, taken away at the end."""
    names = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def passes(repository: Path, tests: tuple[str, ...], seconds: float) -> bool:
    """Run tests of a copy of the repository until one fails.

    Args:
        repository: Its folder.
        tests: Files or folders of tests, from its root; those that are not there are left out.
        seconds: The time after which a mutant counts as noticed: it does not end.

    Returns:
        Whether all passed in that time.
    """
    present = [name for name in tests if (repository / name).exists()]
    if not present:
        return True
    process = multiprocessing.get_context("fork").Process(target=_run, args=(repository, present))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == pytest.ExitCode.OK


def _run(repository: Path, tests: list[str]) -> None:
    """Run pytest in this process, with our modules from `repository`, and end with its exit code."""
    os.setsid()
    os.chdir(repository)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:] = [str(repository), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
    sys.dont_write_bytecode = True
    os.environ["PYTHONPATH"] = str(repository)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", NOT_THESE, "--hypothesis-seed=0"]
    code = pytest.main([*options, *tests])
    os._exit(0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code))
