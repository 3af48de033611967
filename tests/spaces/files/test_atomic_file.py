"""Replacing files: whole after a kill, on a full disk and after an error, for one writer and for several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spaces.files.atomic_file import replacing, write_durably


def test_a_kill_leaves_whole_files_only(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from spaces.files.atomic_file import write_durably\n"
        "i = 0\n"
        "while True:\n"
        "    i += 1; write_durably(Path(sys.argv[1]) / 'result.json', 'x' * 20000 + str(i)); print(i, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    text = (tmp_path / "result.json").read_text()
    assert text[:20000] == "x" * 20000
    assert int(text[20000:]) > 0


def test_a_full_disk_leaves_a_file_as_it_was_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("before")
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom spaces.files.atomic_file import write_durably\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"  # what a file may hold, as on a full disk
        "try:\n    write_durably(Path(sys.argv[1]), 'x' * 1000)\nexcept OSError as error:\n    print(error.filename)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout == f"{path}\n", done.stderr
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path: Path, draft: Path | None) -> None:
    with replacing(path, draft=draft) as file:
        file.write(b"half")
        raise ValueError("nothing more")


@pytest.mark.parametrize("draft", [None, "record.tmp"])
def test_an_error_while_writing_leaves_the_file_and_no_draft(tmp_path: Path, draft: str | None) -> None:
    path = tmp_path / "record.json"
    write_durably(path, "before")
    with pytest.raises(ValueError, match="nothing more"):
        write_half(path, tmp_path / draft if draft else None)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_content_is_read_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_durably(path, "before")
    with replacing(path, draft=tmp_path / "record.tmp", durable=False) as file:
        file.write("ä".encode())
        file.flush()
        assert path.read_text() == "before"
        assert {one.name for one in tmp_path.iterdir()} == {"record.json", "record.tmp"}
    assert path.read_text(encoding="utf-8") == "ä"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_at_once_have_drafts_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with replacing(path) as first, replacing(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_text() == "first"


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "away" / "record.json"
    with pytest.raises(FileNotFoundError) as raised:
        write_durably(path, "text")
    assert raised.value.filename == str(path)
    assert not path.parent.exists()
