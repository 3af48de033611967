"""Folders of work under way: gone afterwards, and taken away by the next one when their process was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from spaces.files.scratch import clear_left_behind, scratch

KILLED = (
    "import os, signal, sys\nfrom pathlib import Path\nfrom spaces.files.scratch import scratch\n"
    "with scratch(Path(sys.argv[1])) as folder:\n"
    "    (folder / 'half').touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
)


def test_what_a_killed_process_left_is_taken_away_and_what_lives_stays(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    other = tmp_path / "notes"
    other.mkdir()
    with scratch(tmp_path) as folder:
        clear_left_behind(tmp_path)
        assert set(tmp_path.iterdir()) == {folder, other}
        assert not left.exists()
    assert list(tmp_path.iterdir()) == [other]


def test_what_was_moved_away_stays(tmp_path: Path) -> None:
    with scratch(tmp_path) as folder:
        (folder / "whole").touch()
        folder.rename(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]
