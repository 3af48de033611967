"""Processes of a search: waiting for what they do, the workers among them, and the results they wrote."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pytest

from tests.conftest import Workplace


def wait_for(condition: Callable[[], object], driver: subprocess.Popen[str] | None = None) -> None:
    """Wait until the condition holds, while the driver, if one is given, runs."""
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, "waited too long"
        if driver is not None and driver.poll() is not None:
            said = driver.communicate()[1] if driver.stderr is not None else ""
            pytest.fail(f"the driver ended too early, with {driver.returncode}: {said}")
        time.sleep(0.02)


def results(place: Workplace) -> dict[Path, int]:
    return results_in(place.home)


def results_in(home: Path) -> dict[Path, int]:
    """The results of a search, each with the moment at which it was written."""
    return {path: path.stat().st_mtime_ns for path in home.glob("trials/*/result.json")}


def workers(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of the processes in which trials are trained."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            title = " ".join(process.cmdline())
            if title.startswith("ray::") and "Trainable" in title:
                found.append(process)
    return found
