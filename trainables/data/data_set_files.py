"""The files of a data set, as its own lists name them: a README.md in its folder or on the hub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from spaces.errors import RequestError
from spaces.spec.sections import HubSource
from trainables.allowed_folders import is_confined

BUILDERS = frozenset({"arrow", "conll", "csv", "imagefolder", "json", "parquet", "text", "webdataset", "xml"})
"""Builders of the `datasets` library whose files cannot open others, as HDF5 can, and hold no pickled objects."""


@contextmanager
def own_files(field: str, source: HubSource) -> Iterator[None]:
    """Hold `datasets` to a data set's own files, in a process that may not read everywhere.

    A data set's list of files may name other folders, other data sets and addresses, which are contacted as soon as the
    list is read. Therefore the library's own function that resolves the list is checked: a list that is read before
    could be another one.

    Raises:
        RequestError: naming the file, from within.
    """
    if not is_confined():
        yield
        return
    from datasets import data_files, load, packaged_modules

    named = f"{field}.hub = {source.hub}"
    if source.hub in packaged_modules._PACKAGED_DATASETS_MODULES:
        raise RequestError(f"{named}: a format and no data set; allowed: a folder, or a data set of the hub")
    base = os.path.realpath(source.hub) if os.path.isdir(source.hub) else f"hf://datasets/{source.hub}@"
    resolve, infer = data_files.resolve_pattern, load.infer_module_for_data_files

    def resolve_own(pattern: str, base_path: str, *more: Any, **options: Any) -> list[str]:
        if not (_is_relative(pattern) and _starts_in(base_path, base)):
            raise RequestError(f"{named}: its own list of files has {pattern}; allowed: paths within the data set")
        found: list[str] = resolve(pattern, base_path, *more, **options)
        return found

    def infer_allowed(*given: Any, **options: Any) -> tuple[str, dict[str, Any]]:
        name, settings = infer(*given, **options)
        if name not in BUILDERS:
            raise RequestError(f"{named}: files of {name}; allowed: {', '.join(sorted(BUILDERS))}")
        return name, settings

    with _replaced(data_files, resolve, resolve_own), _replaced(load, infer, infer_allowed):
        yield


@contextmanager
def _replaced(module: Any, function: Callable[..., Any], other: Callable[..., Any]) -> Iterator[None]:
    """Make the module call another function in place of one of its own, within the context."""
    setattr(module, function.__name__, other)
    try:
        yield
    finally:
        setattr(module, function.__name__, function)


def _is_relative(pattern: str) -> bool:
    """Return whether the pattern is a path downwards, and neither an address nor a path in an archive."""
    path = PurePosixPath(pattern)
    return not (path.is_absolute() or ".." in path.parts or ":" in pattern or "~" in path.parts[:1])


def _starts_in(base_path: str, base: str) -> bool:
    """Return whether patterns begin in the data set: a configuration may name a folder of its own."""
    if base.startswith("hf://"):
        return base_path.startswith(base) and ".." not in PurePosixPath(base_path).parts
    within = os.path.realpath(base_path)
    return within == base or within.startswith(f"{base}/")
