"""Runs tests on a mutant: a process that is forked with the heavy libraries loaded, on a copy of the repository."""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
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
    return not present or _forked(_run, (repository, present), seconds) == pytest.ExitCode.OK


def functions_called(repository: Path, tests: tuple[str, ...], seconds: float) -> dict[str, set[tuple[str, str]]]:
    """Run tests that must pass, and note which functions of the repository each file of tests calls.

    Args:
        repository: The folder of its copy; the bytecode of what is imported is kept there for later runs.
        tests: Files or folders of tests, from its root.
        seconds: The time after which the run is broken off.

    Returns:
        By file of tests, the modules and functions called; both files as paths from the root of the repository.

    Raises:
        RuntimeError: A test failed; it would count as noticing every mutant.
    """
    notes = repository / "functions_called.json"
    present = [name for name in tests if (repository / name).exists()]
    if present and _forked(_run_noting, (repository, present, notes), seconds) != pytest.ExitCode.OK:
        raise RuntimeError(f"tests fail without a mutant: {' '.join(present)}")
    read = json.loads(notes.read_text(encoding="utf-8")) if present else {}
    return {test: {(module, function) for module, function in called} for test, called in read.items()}


def _forked(target: Callable[..., None], arguments: tuple[Any, ...], seconds: float) -> int | None:
    """The exit code of a function run in a forked process; -9 where it took too long."""
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode


def _run(repository: Path, tests: list[str], plugins: tuple[object, ...] = ()) -> None:
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
    sys.dont_write_bytecode = not plugins
    os.environ["PYTHONPATH"] = str(repository)
    code = pytest.main([*OPTIONS, *tests], plugins=list(plugins))
    os._exit(0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code))


def _run_noting(repository: Path, tests: list[str], notes: Path) -> None:
    _run(repository, tests, (_Noting(repository, notes),))


class _Noting:
    """A plugin of pytest that notes the functions called while the tests of each file run."""

    def __init__(self, repository: Path, notes: Path) -> None:
        self.root = f"{repository.resolve()}{os.sep}"
        self.notes = notes
        self.called: dict[str, set[Any]] = defaultdict(set)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        codes = self.called[str(item.path.resolve()).removeprefix(self.root)]

        def note(frame: Any, event: str, _: Any) -> None:
            if event == "call":
                codes.add(frame.f_code)

        threading.setprofile(note)
        sys.setprofile(note)
        try:
            return (yield)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]  # typeshed leaves out None

    def pytest_sessionfinish(self) -> None:
        found = {
            test: sorted(
                (code.co_filename.removeprefix(self.root), code.co_qualname.replace(".<locals>", ""))
                for code in codes
                if code.co_filename.startswith(self.root)
            )
            for test, codes in self.called.items()
        }
        self.notes.write_text(json.dumps(found), encoding="utf-8")
