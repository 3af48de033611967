"""A private Ray starts under any TMPDIR."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from search.ray_cluster.ray_folder import LONGEST, ray_folder
from spaces.errors import RequestError


@pytest.fixture
def long_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TMPDIR, as batch systems set it."""
    folder = tmp_path / ("job" * 24)
    folder.mkdir()
    assert len(str(folder)) > LONGEST
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_a_short_one_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert ray_folder() is None


def test_a_long_one_is_reached_by_a_short_name_of_this_user_alone(long_folder: Path) -> None:
    found = ray_folder()
    assert found is not None
    assert len(found) <= LONGEST
    assert Path(found).resolve().is_relative_to(long_folder.resolve())
    assert Path(found).parent.stat().st_mode & 0o777 == 0o700


def test_without_a_place_for_it_tmpdir_is_named(long_folder: Path) -> None:
    with pytest.raises(RequestError, match=f"TMPDIR = {long_folder}: too long for Ray's sockets; allowed: a folder of"):
        ray_folder(["", "/nowhere", str(long_folder)])


@pytest.mark.integration
def test_ray_starts_there_and_leaves_no_short_name_behind(long_folder: Path) -> None:
    script = (
        "import ray\nfrom search.ray_cluster.connect import start_here\nstart_here(num_cpus=1)\n"
        "print(ray.get_runtime_context().gcs_address, ray._private.worker._global_node.temp_dir)\nray.shutdown()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.split()[-1])
    assert not folder.parent.exists()
    assert list(long_folder.glob("ray/session_*"))
