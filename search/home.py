"""The folder of one search: what stands there, and who may work in it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from filelock import FileLock, Timeout

from spaces.errors import RequestError
from spaces.ledger import write_durably
from spaces.spec import SearchSpec, dump_spec, load_spec

SPEC = "spec.yaml"
IDENTITY = "search.json"


def create(spec: SearchSpec, search_id: str) -> None:
    """Make the folder of a new search."""
    write_durably(spec.home / IDENTITY, json.dumps({"search_id": search_id}))
    # The spec comes last: a folder without one is not a search yet.
    write_durably(spec.home / SPEC, dump_spec(spec))


def exists(home: Path) -> bool:
    """Whether a search lives there."""
    return (home / SPEC).is_file()


def find(command: str, storage: Path, name: str) -> Path:
    """The folder of the search called `name`.

    Raises:
        RequestError: when the storage holds none, naming the nearest.
    """
    folder = storage.expanduser().absolute()
    if exists(folder / name):
        return folder / name
    names = [spec.parent.name for spec in folder.glob(f"*/{SPEC}")]
    nearest = ", ".join(get_close_matches(name, names, n=3, cutoff=0.0)) or "none, for it holds no searches"
    raise RequestError(f"{command} {name}: no such search in {storage}; allowed: --storage, or the nearest: {nearest}")


def read(home: Path) -> tuple[SearchSpec, str]:
    """The spec and the id of the search that lives there.

    Raises:
        RequestError: when its folder was damaged.
    """
    try:
        search_id = str(json.loads((home / IDENTITY).read_text(encoding="utf-8"))["search_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"search {home.name!r}: {home / IDENTITY} is damaged ({error}); allowed: as it was written"
        ) from None
    return load_spec(home / SPEC), search_id


@contextlib.contextmanager
def held(home: Path) -> Iterator[None]:
    """Keep other drivers out; a killed driver lets go at once.

    Raises:
        RequestError: when another driver works there.
    """
    lock = FileLock(home / ".driver.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RequestError(f"search {home.name!r} is being run by another process; allowed: one at a time") from None
    try:
        yield
    finally:
        lock.release()
