"""Reads files of examples by suffix. Text stays text, and is never read as a number or a missing value."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as arrow
import pyarrow.parquet as parquet

from spaces.errors import RequestError, one_line
from spaces.spec.sources import files_of
from trainables.data.content import Content, decoded, distinct, open_bytes, read_bytes
from trainables.data.delimited import read_delimited, read_header
from trainables.data.sources.image_folders import COLUMNS, read_image_folder
from trainables.data.sources.patterns import matching_files

R = TypeVar("R")

# The key under which the `datasets` library stores what arrow's types cannot express.
_FEATURES = b"huggingface"


def _records(records: Sequence[Any]) -> Content:
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise ValueError(f"row {number} is not an object with named values")
    names = dict.fromkeys(name for record in records for name in record)
    return Content({name: [record.get(name) for record in records] for name in names})


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return one object, and refuse a name that occurs twice: JSON does not say which value holds."""
    distinct([name for name, _ in pairs])
    return dict(pairs)


def _json_lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line, object_pairs_hook=_object)
        except RecursionError:
            raise ValueError(f"line {number}: nested too deeply") from None
        except ValueError as error:
            problem = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise ValueError(f"line {number}: {problem}") from None


def _json_line_names(path: Path) -> list[str]:
    """Return the names in the first line: a later row without one of its columns is refused when it is read."""
    with io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig") as file:
        first = next((line for line in file if line.strip()), "{}")
    return list(_records(list(_json_lines(first))).columns)


def _json(path: Path) -> Content:
    """Read a file that holds one list of objects, or one object in each line."""
    text = decoded(read_bytes(path))
    if text.lstrip().startswith("["):
        return _records(json.loads(text, object_pairs_hook=_object))
    return _records(list(_json_lines(text)))


def _parquet(path: Path) -> Content:
    table = parquet.ParquetFile(path).read()
    distinct(table.column_names)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return Content(columns, class_names=_class_names(table.schema))


def _class_names(schema: arrow.Schema) -> dict[str, tuple[str, ...]]:
    """Return the names of classes that the `datasets` library writes beside columns of positions."""
    kept = (schema.metadata or {}).get(_FEATURES)
    try:
        features = json.loads(kept)["info"]["features"] if kept else {}
        inner = {name: _of_items(feature) for name, feature in features.items()}
        return {
            name: tuple(map(str, feature["names"]))
            for name, feature in inner.items()
            if feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _of_items(feature: Any) -> dict[str, Any]:
    """Return the description of a column's values, or of the items of its lists."""
    if isinstance(feature, list) and feature:  # as older versions of the library write a column of lists
        return _of_items(feature[0])
    if not isinstance(feature, dict):
        return {}
    listed = feature.get("_type") in ("Sequence", "List", "LargeList")
    return _of_items(feature.get("feature")) if listed else feature


_READERS: Mapping[str, Callable[[Path], Content]] = {
    ".csv": lambda path: read_delimited(path, ","),
    ".json": _json,
    ".jsonl": lambda path: _records(list(_json_lines(decoded(read_bytes(path))))),
    ".parquet": _parquet,
    ".tsv": lambda path: read_delimited(path, "\t"),
}


# Readers of column names alone; a list in JSON does not tell them until it ends.
_NAMES: Mapping[str, Callable[[Path], list[str]]] = {
    ".csv": lambda path: read_header(path, ","),
    ".jsonl": _json_line_names,
    ".parquet": lambda path: list(distinct(parquet.read_schema(path).names)),
    ".tsv": lambda path: read_header(path, "\t"),
}


def _form(path: Path) -> str:
    """Return the suffix that says how a file is read; of a compressed text the one before .gz."""
    inner = Path(path.stem).suffix.lower()
    return inner if path.suffix.lower() == ".gz" and inner != ".parquet" else path.suffix.lower()


def find_files(field: str, source: str | tuple[str, ...]) -> list[str]:
    """Return the paths of the files that `source`, a file, a pattern or a list of these, names, in order.

    Raises:
        RequestError: when a pattern matches none, a file is named twice, by a link too, or a folder of images is among
            several.
    """
    found = [path for one in files_of(source) for path in _matches(field, one)]
    if len(found) > 1:
        _check_together(field, found)
    return found


def _matches(field: str, source: str) -> list[str]:
    matched = matching_files(field, source)
    return [source] if matched is None else [str(path) for path in matched]


def _check_together(field: str, paths: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for path in paths:
        if is_image_folder(Path(path).expanduser()):
            raise RequestError(f"{field} = {path}: a folder beside files; allowed: files, or a folder alone")
        real = os.path.realpath(os.path.expanduser(path))
        if real in first:
            other = "" if first[real] == path else f", also as {first[real]}"
            raise RequestError(f"{field} = {path}: named twice{other}; allowed: each file once")
        first[real] = path


def find_file(field: str, source: str) -> Path:
    """Return the path of `source`, which the spec names in `field`, without opening it.

    Raises:
        RequestError: when the suffix is unknown, or there is no such file.
    """
    path = Path(source).expanduser()
    if _form(path) not in _READERS and not path.is_dir():
        allowed = (
            f"{', '.join(_READERS)}, or {{hub: ID, name: CONFIGURATION, split: SPLIT}}; text also with .gz; of images "
            "also a folder with a folder for each class"
        )
        raise RequestError(f"{field} = {source}: unknown suffix {path.suffix!r}; allowed: {allowed}")
    if not path.exists():
        raise RequestError(f"{field} = {source}: no such file; allowed: a file of examples")
    return path


def read_file(field: str, source: str) -> Content:
    """Read every column of the file `source`, which the spec names in `field`.

    Raises:
        RequestError: when the suffix is unknown, or the file is absent or not of the form that its suffix says.
    """
    path = find_file(field, source)
    if is_image_folder(path):
        return read_image_folder(field, source, path)
    return _read(_READERS, field, source, path)


def is_image_folder(path: Path) -> bool:
    """Return whether a path is read as a folder of images, and not as a file."""
    return path.is_dir() and _form(path) not in _READERS


def column_names(field: str, source: str) -> list[str] | None:
    """Return the columns of the file `source` without reading its rows; None if the form does not tell.

    Raises:
        RequestError: as `read_file` does, as far as it is known.
    """
    path = find_file(field, source)
    if is_image_folder(path):
        return list(COLUMNS)
    if path.is_dir():
        raise RequestError(f"{field} = {source}: is a folder; allowed: a file of examples")
    return _read(_NAMES, field, source, path) if _form(path) in _NAMES else None


def _read(readers: Mapping[str, Callable[[Path], R]], field: str, source: str, path: Path) -> R:
    try:
        return readers[_form(path)](path)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError, arrow.ArrowException) as error:
        form = _form(path)[1:]
        encoding = "" if form.lower() == "parquet" else " in UTF-8"
        raise RequestError(
            f"{field} = {source}: cannot be read as {form} ({one_line(error)}); allowed: a whole {form} file{encoding}"
        ) from None
