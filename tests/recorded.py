"""Searches and exports as an older version left them: how they were recorded, and how a test unpacks them.

`tests/fixtures/recorded-cbac235.tar.xz` was written by the code of commit cbac235, the last before its modules moved:

    git worktree add --detach OLD cbac235
    PYTHONPATH=OLD python tests/recorded.py tests/fixtures/recorded-cbac235.tar.xz

It holds

- `runs/`, a storage with MLflow's database. The search `whole` came to its end; the driver of `cut` was killed while it
  trained. Ray's own files are kept of `cut`, for their pickles name modules that are gone; pages (`front.html`), which
  hold a copy of Plotly, are left out.
- `exports/`, an adapter of `whole` for each of the methods.
- `said/`, the JSON that the commands printed, and `modules.json`, the names of the modules of that version.

Its records name absolute paths, as those of every search do. In the archive they begin with `PLACE`; `unpack` puts the
folder of the test there. Model and data are those of `tests/conftest.py`, which makes the same ones each time.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pkgutil
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import psutil
import yaml

ARCHIVE = Path(__file__).resolve().parent / "fixtures" / "recorded-cbac235.tar.xz"
PLACE = "/where/it/was/recorded"
METHODS = ("lora", "sparta", "surm-circulant", "dst")

SPEC = {
    "model": {"path": "model"},
    "data": {"train": "data/train.csv", "validation": "data/validation.csv", "test": "data/test.csv", "max_length": 16},
    "budget": {"parameters": 3000, "at_least": 10},
    "methods": list(METHODS),
    "training": {"max_steps": 120, "per_device_train_batch_size": 8},
    "search": {
        "trials": 4,
        "rungs": 3,
        "stopper": "none",
        "concurrent": 1,
        "start_with": [{"method": method} for method in METHODS],
    },
    "confirm": {"top": 1, "seeds": 1},
    "storage": "runs",
}


def unpack(folder: Path) -> None:
    """Unpack the archive into `folder`, which its records name from then on."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    move_records(folder, PLACE, str(folder))


def move_records(folder: Path, before: str, after: str) -> None:
    """Replace a path by another in all files and databases under `folder`, pickles excepted."""
    for path in folder.rglob("*"):
        if not path.is_file() or "ray" in path.relative_to(folder).parts:
            continue
        if path.suffix == ".db":
            _replace_in_database(path, before, after)
        elif path.name == "outbox.jsonl":
            _replace_in_outbox(path, before, after)
        elif before.encode() in (content := path.read_bytes()):
            path.write_bytes(content.replace(before.encode(), after.encode()))


def _replace_in_database(path: Path, before: str, after: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for column in database.execute(f"PRAGMA table_info('{table}')").fetchall():
                if "CHAR" in column[2].upper() or "TEXT" in column[2].upper():
                    database.execute(
                        f'UPDATE "{table}" SET "{column[1]}" = REPLACE("{column[1]}", ?, ?) '
                        f'WHERE INSTR("{column[1]}", ?)',
                        (before, after, before),
                    )


def _replace_in_outbox(path: Path, before: str, after: str) -> None:
    """Replace the path in events, and keep the offset behind the same event."""
    content, offset = path.read_bytes(), path.with_name("outbox.offset")
    sent = int(offset.read_text()) if offset.exists() else 0
    parts = [part.replace(before.encode(), after.encode()) for part in (content[:sent], content[sent:])]
    path.write_bytes(b"".join(parts))
    if offset.exists():
        offset.write_text(str(len(parts[0])))


def record(archive: Path) -> None:
    """Run the searches with the code that Python finds, and pack what they leave."""
    from tests.conftest import make_tiny_data, make_tiny_model, minilm_folder

    with tempfile.TemporaryDirectory() as named:
        place = Path(named).resolve()
        make_tiny_model(place / "model", minilm_folder())
        (place / "data").mkdir()
        make_tiny_data(place / "data")
        (place / "said").mkdir()
        for name, sections in (("whole", {}), ("cut", {"training": {**SPEC["training"], "max_steps": 900}})):
            (place / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **SPEC, **sections}))
        subprocess.run(_command(("search", "whole.yaml")), cwd=place, check=True)
        _kill_in_the_middle(place, "cut")
        for name, command in {
            "front": ("front", "whole"),
            "confirmed": ("front", "whole", "--confirmed"),
            "trials": ("trials", "whole"),
            "searches": ("searches",),
            "cut": ("trials", "cut"),
        }.items():
            (place / "said" / f"{name}.json").write_text(_call(place, *command, "--storage", "runs", "--json"))
        _export(place)
        (place / "said" / "modules.json").write_text(json.dumps(_modules()))
        _pack(place, archive)


def _modules() -> list[str]:
    """Names of our modules as Python finds them now."""
    return sorted(
        found.name
        for package in ("search", "trainables", "tracking", "spaces")
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    )


def _call(place: Path, *arguments: str) -> str:
    """Run a command in this process, which has loaded the libraries already, and return its output."""
    from search.cli import run  # type: ignore[attr-defined]  # as it was called then

    printed = io.StringIO()
    with contextlib.chdir(place), contextlib.redirect_stdout(printed):
        code = run(list(arguments))
    if code:
        raise SystemExit(f"{arguments} ended with {code}")
    return printed.getvalue()


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "search.cli", *arguments]


def _export(place: Path) -> None:
    trials = json.loads((place / "said" / "trials.json").read_text())["trials"]
    chosen = {one["method"]: one["trial"] for one in trials if one["state"] == "finished"}
    for method in METHODS:
        _call(place, "export", "whole", "--storage", "runs", "--trial", chosen[method], "--out", f"exports/{method}")


def _kill_in_the_middle(place: Path, name: str) -> None:
    """Kill the driver when one trial has ended and another has a checkpoint, and wait for its workers."""
    driver = subprocess.Popen(
        _command(("search", f"{name}.yaml")), cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    trials = place / "runs" / name / "trials"
    while not (list(trials.glob("0*/result.json")) and list(trials.glob("0*/checkpoint.pt"))):
        if driver.poll() is not None:
            raise SystemExit(f"{name} ended before it was killed")
        time.sleep(0.02)
    others = psutil.Process(driver.pid).children(recursive=True)
    for process in (psutil.Process(driver.pid), *others):
        with contextlib.suppress(psutil.Error):
            os.kill(process.pid, signal.SIGKILL)
    driver.wait()
    psutil.wait_procs(others, timeout=5)


def _pack(place: Path, archive: Path) -> None:
    shutil.rmtree(place / "runs" / "whole" / "ray")
    for page in (place / "runs").rglob("front.html"):
        page.unlink()
    move_records(place, str(place), PLACE)
    for path in (place / "runs" / "cut" / "ray").rglob("*"):
        if path.is_file():  # a pickle has the length of a text before it
            same_length = PLACE.ljust(len(str(place)), "_")[: len(str(place))]
            path.write_bytes(path.read_bytes().replace(str(place).encode(), same_length.encode()))
    for database in (place / "runs").rglob("*.db"):
        with contextlib.closing(sqlite3.connect(database)) as opened:
            opened.execute("PRAGMA journal_mode = DELETE")
            opened.execute("VACUUM")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:xz") as packed:
        for part in ("runs", "exports", "said"):
            packed.add(place / part, arcname=part)


if __name__ == "__main__":
    record(Path(sys.argv[1]).absolute())
