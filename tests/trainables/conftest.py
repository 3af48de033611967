"""Fresh processes that begin warm."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.warm_python import WarmPython


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    server = WarmPython()
    yield server
    server.close()


@pytest.fixture(scope="module")
def warm_processes(warm_python: WarmPython) -> Iterator[None]:
    """Python processes of a module, such as those that verify exports, begin warm; others are what they are."""
    cold = subprocess.run

    def run(command: Any, **settings: Any) -> subprocess.CompletedProcess[Any]:
        warm = command[0] == sys.executable
        return warm_python.run(command, **settings) if warm else cold(command, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", run)
        yield
