"""The folder of one search: its files, and the lock of its driver."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from filelock import Timeout

from spaces.errors import RequestError, Unreachable
from spaces.files.atomic_file import write_durably
from spaces.files.locks import FolderLock
from spaces.spec.spec import SearchSpec, dump_spec, load_spec

SPEC = "spec.yaml"
IDENTITY = "search.json"
FINISHED = "finished"
STOP = "stop"

BESIDE = frozenset({"mlartifacts", "mlflow.db", "mlruns", "ray"})
BESIDE_ENDINGS = (".log", "-journal", "-shm", "-wal")
"""Names in a storage that are not searches: MLflow's files, those that SQLite adds, Ray's, and logs of launches."""


@dataclass(frozen=True)
class Identity:
    """The facts that a search keeps about itself beside its spec.

    Attributes:
        search_id: Its id in MLflow and in the study's name.
        data: A fingerprint of each split that trials use.
        tracking_uri: The MLflow that has its runs; None where the URI holds a password.
    """

    search_id: str
    data: dict[str, str]
    tracking_uri: str | None


def create(spec: SearchSpec, identity: Identity) -> None:
    """Create the folder of a new search."""
    spec.home.mkdir(parents=True, exist_ok=True)
    write_durably(spec.home / IDENTITY, json.dumps(dataclasses.asdict(identity)))
    # The spec comes last: a folder without one is not a search yet.
    write_durably(spec.home / SPEC, dump_spec(spec))


def exists(home: Path) -> bool:
    """Return whether the folder holds a search."""
    return (home / SPEC).is_file()


def check_name(name: str) -> None:
    """Check that a search of this name would not collide with other files in the storage.

    Raises:
        RequestError: when it would.
    """
    if name.casefold() in BESIDE or name.casefold().endswith(BESIDE_ENDINGS):
        others = ", ".join(sorted(BESIDE))
        raise RequestError(
            f"name = {name}: is reserved for other files in the storage; "
            f"allowed: a name other than {others} and those that end in {' or '.join(BESIDE_ENDINGS)}"
        )


def taken(name: str) -> RequestError:
    """Return the error for a new search whose name is in use."""
    return RequestError(f"name = {name}: in use; allowed: a new name, or `paretune resume {name}`")


def ask_to_stop(home: Path) -> None:
    """Ask the driver, on any node, to end the search cleanly.

    The stop marker stays until it is taken back, so that a driver that just begins does not miss it.
    """
    (home / STOP).touch()


def take_back_stop(home: Path) -> None:
    """Remove the stop marker."""
    (home / STOP).unlink(missing_ok=True)


def mark_finished(home: Path) -> None:
    """Mark the search as finished: nothing of it is left to run."""
    write_durably(home / FINISHED, "")


def is_finished(home: Path) -> bool:
    """Return whether the search is finished."""
    return (home / FINISHED).is_file()


def find(command: str, storage: Path, name: str) -> Path:
    """Return the folder of the search called `name`.

    Raises:
        RequestError: when the storage holds none, naming the nearest names.
    """
    folder = storage.expanduser().absolute()
    if exists(folder / name):
        return folder / name
    names = [spec.parent.name for spec in folder.glob(f"*/{SPEC}")]
    nearest = ", ".join(get_close_matches(name, names, n=3, cutoff=0.0)) or "none, it holds no searches"
    raise RequestError(f"{command} {name}: no such search in {storage}; allowed: --storage, or the nearest: {nearest}")


def check_place(home: Path, spec: SearchSpec) -> None:
    """Check that a search is where it began: its records and MLflow's name files there.

    Raises:
        RequestError: when it was moved or copied.
    """
    if not (spec.home.is_dir() and spec.home.samefile(home)):
        raise RequestError(
            f"search {home.name!r}: began in {spec.home} and is in {home}; allowed: where it began, or a link there"
        )


def read(home: Path) -> tuple[SearchSpec, Identity]:
    """Read the spec and the identity of a search.

    Raises:
        Unreachable: when the folder cannot be read for now.
        RequestError: when a file is damaged.
    """
    _check_readable(home)
    try:
        held = json.loads((home / IDENTITY).read_text(encoding="utf-8"))
        known = {field.name for field in dataclasses.fields(Identity)}  # a later version may have written more
        identity = Identity(**{name: value for name, value in held.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RequestError(
            f"search {home.name!r}: {home / IDENTITY} is damaged ({error}); allowed: as it was written"
        ) from None
    return load_spec(home / SPEC), identity


def _check_readable(home: Path) -> None:
    """Raise `Unreachable` for a disk that fails, as opposed to a file that is damaged."""
    for name in (IDENTITY, SPEC):
        try:
            with (home / name).open("rb") as file:
                file.read(1)
        except (FileNotFoundError, IsADirectoryError):
            return  # reported when it is read
        except OSError as error:
            raise Unreachable(f"search {home.name!r}: {home / name} cannot be read ({error.strerror})") from None


def check_data(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Check that the splits are those that the search began with, so that its trials stay comparable.

    Raises:
        RequestError: naming the split that changed.
    """
    for split in before:
        if now[split] != before[split]:
            raise RequestError(
                f"data.{split}: has changed since search {name!r} began, so that its trials would not compare; "
                "allowed: the data as it was, or a search under another name"
            )


@contextlib.contextmanager
def held(home: Path) -> Iterator[None]:
    """Keep other drivers out within the block; the lock of a killed driver is free at once.

    Where no search was created, the lock file is removed.

    Raises:
        RequestError: when another driver holds the lock.
    """
    lock = FolderLock(home / ".driver.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RequestError(f"search {home.name!r} is being run by another process; allowed: one at a time") from None
    try:
        yield
    finally:
        if not exists(home):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
