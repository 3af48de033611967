"""The folders from which this process may read models and data, checked at the moment of reading.

A command reads everything that its user may read. A job or a check of the service reads for the sender of the spec:
only files in folders that the operator names, wherever links lead, and however files are swapped while they are read.
Hard links cannot be told apart from files: a user who can make one in these folders could read the file anyway, unless
the kernel's `fs.protected_hardlinks` is off.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from spaces.errors import RequestError, WorkError
from spaces.spec.sections import HubSource
from spaces.spec.sources import files_of
from spaces.spec.spec import SearchSpec

_MOST_LINKS = 40  # as Linux follows
_MOST_FILES = 1_000_000
_NAMING = (".index.json", "config.json")
"""Endings of a model's settings files that name further files."""
_LONGEST = 100_000_000
"""The largest size of such a file in bytes; that of a model with a million tensors is smaller."""

Stamp = tuple[int, ...]
"""Device, inode, kind, size and times of a file. Users cannot set the time of the last change of its inode."""

_allowed: tuple[str, ...] | None = None


class Outside(RequestError):
    """A file that lies outside of the folders, or is not a plain file."""


@contextmanager
def reading_only(folders: Sequence[Path]) -> Iterator[None]:
    """Make this process read models and data only from these folders and everything in them, and from the hub."""
    global _allowed
    before, _allowed = _allowed, tuple(os.path.realpath(one) for one in folders)
    try:
        yield
    finally:
        _allowed = before


def is_confined() -> bool:
    """Return whether this process may not read everywhere."""
    return _allowed is not None


@contextmanager
def confined_reading(spec: SearchSpec, *, data: bool = True) -> Iterator[None]:
    """Check that the model and the data of a spec lie in the folders, and do not change while they are read within.

    A process that may read everywhere checks nothing.

    Args:
        spec: the spec.
        data: whether the data is read as well.

    Raises:
        Outside: when a file lies elsewhere.
        WorkError: when one was changed while it was read, in place of any result or error of the reading.
    """
    if _allowed is None:
        yield
        return
    places = local_places(spec, data=data)
    with ExitStack() as after:
        for name, path in places:
            after.enter_context(_unchanged(name, path, _allowed))
        yield


def local_places(spec: SearchSpec, *, data: bool = True) -> list[tuple[str, str]]:
    """Return the files and folders of this machine that a spec names, each with its field.

    Places on the hub are left out.
    """
    named = [("model.path", spec.model.path)]
    if spec.data.chat_template is not None:
        named.append(("data.chat_template", spec.data.chat_template))  # read with the tokenizer, for exports as well
    for split in ("train", "validation", "test") if data else ():
        source = getattr(spec.data, split)
        if isinstance(source, HubSource):
            named.append((f"data.{split}.hub", source.hub))
        named += [(f"data.{split}", path) for path in files_of(source)]
    return [(name, path) for name, path in named if os.path.isabs(path) or os.path.lexists(path)]


def check_inside(name: str, path: str, folders: Sequence[Path], most: int) -> None:
    """Check that a file or a folder lies in the folders, and the first `most` files in it as well.

    Args:
        name: the field that names it, for the message.
        path: the file or folder.
        folders: the folders to read from.
        most: how many files of a folder are checked.

    Raises:
        Outside: when it does not.
    """
    _Walk(tuple(os.path.realpath(one) for one in folders)).look(name, path, most)


def open_inside(path: Path) -> BinaryIO:
    """Open a file that another one names, such as an image, and check the file that was opened.

    Raises:
        Outside: when it lies outside of the folders.
        OSError: when it cannot be opened.
    """
    return path.open("rb") if _allowed is None else _open(path, _allowed)


def _open(path: Path | str, folders: Sequence[str]) -> BinaryIO:
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would wait for its writer
    try:
        # The kernel's name of the opened file.
        if not stat.S_ISREG(os.fstat(opened).st_mode) or not _lies_in(os.readlink(f"/proc/self/fd/{opened}"), folders):
            raise Outside("lies elsewhere")
        return os.fdopen(opened, "rb")
    except BaseException:
        os.close(opened)
        raise


@contextmanager
def _unchanged(name: str, path: str, folders: tuple[str, ...]) -> Iterator[None]:
    seen = _Walk(folders).look(name, path)
    try:
        yield
    finally:
        now: Mapping[str, Stamp] | None
        try:
            now = _Walk(folders).look(name, path)
        except Outside:
            now = None
        if now != seen:
            # Another file may have been read, and an error would reveal its content.
            raise WorkError(f"{name} = {path}: was changed while it was read; allowed: what stays as it is") from None


@dataclass
class _Walk:
    """Checks everything on the way to a file or a folder, and everything in a folder."""

    folders: tuple[str, ...]
    stamps: dict[str, Stamp] = field(default_factory=dict)

    def look(self, name: str, path: str, most: int | None = None) -> Mapping[str, Stamp]:
        """Return the stamps of everything on the way, by path: of links themselves, and of their targets."""
        waiting, entered = [path], set[str]()
        while waiting and (most is None or len(self.stamps) < most):
            if len(self.stamps) > _MOST_FILES:
                raise Outside(f"{name} = {path}: holds more than {_MOST_FILES:,} files; allowed: fewer")
            one = waiting.pop()
            try:
                real = self._checked(one)
                if os.path.isdir(real) and real not in entered:
                    entered.add(real)
                    waiting += _in_folder(real)
                elif one.endswith(_NAMING):
                    self._check_names(one)
            except FileNotFoundError:
                continue  # its reader reports it
            except (OSError, ValueError) as error:  # among them Outside
                where = "" if one == path else f"holds {os.path.basename(one)}, which "
                raise Outside(f"{name} = {path}: {where}{_reason(error)}; allowed: {self._all()}") from None
        return self.stamps

    def _checked(self, path: str) -> str:
        """Return the target of a path, if it may be read."""
        real = self._followed(path)
        if not _lies_in(real, self.folders):
            raise Outside("leads elsewhere")
        mode = os.lstat(real).st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise Outside("is neither a file nor a folder")
        return real

    def _followed(self, path: str) -> str:
        """Return the target of a path, following links one by one; note everything within the folders on the way."""
        waiting, current, links = _steps(os.path.join(os.getcwd(), path)), "/", 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                current = os.path.dirname(current)
                continue
            step = os.path.join(current, part)
            within = _lies_in(step, self.folders)
            try:
                found = os.lstat(step)
                target = os.readlink(step) if stat.S_ISLNK(found.st_mode) else None
            except OSError:
                if within:
                    raise
                raise Outside("leads elsewhere") from None  # the message must not reveal whether the target exists
            if within and step not in self.folders:
                self.stamps[step] = _stamp(found)
            if target is None:
                current = step
                continue
            links += 1
            if links > _MOST_LINKS:
                raise Outside("leads through too many links")
            current = "/" if os.path.isabs(target) else current
            waiting += _steps(target)
        return current

    def _check_names(self, path: str) -> None:
        """Check that a file of a model that names other files names none elsewhere."""
        with _open(path, self.folders) as file:
            text = file.read(_LONGEST + 1)
        if len(text) > _LONGEST:
            raise Outside(f"has more than {_LONGEST:,} bytes")
        for named in _names_in(text):
            if os.path.isabs(named) or named.startswith("~") or ".." in Path(named).parts:
                raise Outside(f"names {named}, which may lie elsewhere")

    def _all(self) -> str:
        return f"files and folders in {', '.join(self.folders)}"


def _in_folder(folder: str) -> list[str]:
    """Yield the paths of everything in a folder, the folder itself last."""
    return [os.path.join(folder, one) for one in sorted(os.listdir(folder), reverse=True)]


def _steps(path: str) -> list[str]:
    """Return the steps of a path, the first one last."""
    return [one for one in reversed(path.split("/")) if one not in ("", ".")]


def _lies_in(path: str, folders: Sequence[str]) -> bool:
    return any(path == one or path.startswith(f"{one.rstrip('/')}/") for one in folders)


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _reason(error: Exception) -> str:
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)


def _names_in(text: bytes) -> list[str]:
    """Return the files and folders that a model's settings file makes transformers open.

    They are shards, and the base of an adapter.
    """
    try:
        held: Any = json.loads(text)
    except (ValueError, RecursionError):
        return []  # its reader reports it
    if not isinstance(held, dict):
        return []
    shards = held.get("weight_map")
    named = [*(shards.values() if isinstance(shards, dict) else ())]
    named += [held.get("base_model_name_or_path"), held.get("transformers_weights")]
    return [one for one in named if isinstance(one, str)]
