"""Nodes that cannot take part in a search are refused before it begins."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from search.ray_cluster.connect import _check_answer, versions
from spaces.errors import RequestError
from tests.conftest import Workplace, command
from tests.search.heads import head_of
from tests.search.ray_nodes import kill, start


@pytest.mark.cluster
def test_a_node_with_another_version(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real node, that finds another paretune installed."""
    installed = workplace.folder / "installed"
    other = installed / "paretune-99.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: paretune\nVersion: 99.9\n")
    with head_of(cpus=1) as head:
        with monkeypatch.context() as there:
            there.setenv("PYTHONPATH", f"{installed}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
            node = start(workplace.folder, *head.arguments, "--include-dashboard=false")
        try:
            # The variable is of a cluster with tokens that was used before; this one has none. A process of its own,
            # for Ray of this one would keep what the command sets.
            done = subprocess.run(
                [command(), "search", str(workplace.spec()), "--address", head.address],
                cwd=workplace.folder,
                env=workplace.environment() | {"RAY_AUTH_MODE": "token"},
                capture_output=True,
                text=True,
                timeout=500,
                check=False,
            )
        finally:
            kill(node)
    assert done.returncode == 2, done.stderr
    assert " runs paretune 99.9, Python " in done.stderr
    assert f"allowed: the same as here, {versions()}" in done.stderr
    assert not workplace.home.parent.exists()


def test_a_node_that_does_not_see_the_storage() -> None:
    _check_answer("10.0.0.1", versions(), True, Path("/runs"))
    with pytest.raises(RequestError) as refused:
        _check_answer("10.0.0.1", versions(), False, Path("/runs"))
    assert str(refused.value) == (
        "storage = /runs: not visible from node 10.0.0.1; allowed: storage shared by all nodes"
    )
