"""Runs tests on a mutant: a process that is forked with the heavy libraries loaded, on a copy of the repository."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.bench.mutants.targets import ROOT

PLUGINS = ("_hypothesis_pytestplugin", "pytest_timeout")
HEAVY = (
    *("numpy", "scipy.stats", "torch", "transformers", "peft", "optuna", "mlflow", "pandas", "numba", "yaml"),
    *(
        "transformers.models.bert.modeling_bert",
        "optuna.integration",
        "pydantic",
        "rich.console",
        "hypothesis.stateful",
    ),
    *PLUGINS,
)
"""Loaded before the fork, for that takes longer than most tests; none of them is ours."""

OURS = ("spaces", "trainables", "tracking", "search", "tests", "paretune")
OPTIONS = (
    *("-x", "-q", "-m", "not integration and not cluster"),
    # Those that gather all garbage at the end take as long as many a test file.
    *("-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:threadexception"),
    *(word for plugin in PLUGINS for word in ("-p", plugin)),
    *("--hypothesis-seed=0", "--hypothesis-profile=mutants"),
)


def preload() -> None:
    """Import the heavy libraries, once for all mutants."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in HEAVY:
        importlib.import_module(name)
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # a counterexample need not be small
    hypothesis.settings.register_profile("mutants", deadline=None, database=None, phases=phases)
    gc.collect()
    gc.freeze()


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


def passes(repository: Path, tests: Sequence[str], seconds: float, *, without: str = "", keep: bool = False) -> bool:
    """Run tests of a copy of the repository until one fails.

    Args:
        repository: Its folder.
        tests: Files or folders of tests, from its root.
        seconds: The time after which a mutant counts as noticed: it does not end.
        without: A file of tests in one of these folders that is left out.
        keep: Keep the bytecode of what is imported for later runs.

    Returns:
        Whether all passed in that time.
    """
    arguments = (repository, [*tests, *([f"--ignore={without}"] if without else [])], keep)
    return _forked(_run, arguments, seconds) == pytest.ExitCode.OK


def _forked(target: Callable[..., None], arguments: tuple[Any, ...], seconds: float) -> int | None:
    """The exit code of a function run in a forked process; -9 where it took too long."""
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode


def _run(repository: Path, tests: list[str], keep: bool) -> None:
    """Run pytest in this process, with our modules from `repository`, and end with its exit code."""
    os.setsid()
    os.chdir(repository)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:] = [str(repository), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
    # A mutant is written within a second of the text before it and may be as long: its bytecode must not stay.
    sys.dont_write_bytecode = not keep
    os.environ["PYTHONPATH"] = str(repository)
    code = pytest.main([*OPTIONS, *tests])
    os._exit(0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code))
