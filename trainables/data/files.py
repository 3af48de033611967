"""Reads files of examples by suffix; text is never taken for a number or for a gap."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as arrow
import pyarrow.parquet as parquet

from spaces.errors import RequestError
from trainables.data.messages import one_line

R = TypeVar("R")
Columns = Mapping[str, Any]
"""Sequences of one length by column name: lists, or arrow's chunked arrays where a file is typed."""

# The default limit of 131,072 characters is shorter than a long document.
_LONGEST_CSV_FIELD = 2**31 - 1


def _delimited(path: Path, delimiter: str) -> Columns:
    csv.field_size_limit(_LONGEST_CSV_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header = _distinct(next(reader, []))
        rows = []
        for row in reader:
            if row and len(row) != len(header):
                raise ValueError(f"line {reader.line_num}: {len(row)} fields under a header of {len(header)}")
            if row:
                rows.append(row)
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def _delimited_names(path: Path, delimiter: str) -> list[str]:
    csv.field_size_limit(_LONGEST_CSV_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return _distinct(next(csv.reader(file, delimiter=delimiter, strict=True), []))


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a column is named twice")
    return names


def _records(records: Sequence[Any]) -> Columns:
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise ValueError(f"row {number} is not an object with named values")
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _json_lines(path: Path) -> Columns:
    records = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            try:
                records += [json.loads(line)] if line.strip() else []
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: {error.msg}") from None
            except RecursionError:
                raise ValueError(f"line {number}: nested too deeply") from None
    return _records(records)


def _json_line_names(path: Path) -> list[str]:
    """Those of the first line, for a row that lacks a column is refused when it is read."""
    with path.open(encoding="utf-8-sig") as file:
        first = next((line for line in file if line.strip()), "{}")
    return list(_records([json.loads(first)]))


def _json(path: Path) -> Columns:
    """A file that holds one list of objects, or else one object a line."""
    text = path.read_text(encoding="utf-8-sig")
    return _records(json.loads(text)) if text.lstrip().startswith("[") else _json_lines(path)


def _parquet(path: Path) -> Columns:
    table = parquet.ParquetFile(path).read()
    _distinct(table.column_names)
    return dict(zip(table.column_names, table.columns, strict=True))


_READERS: Mapping[str, Callable[[Path], Columns]] = {
    ".csv": lambda path: _delimited(path, ","),
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
    ".tsv": lambda path: _delimited(path, "\t"),
}


# What is known of the columns before a value is read; a list in JSON tells nothing until it ends.
_NAMES: Mapping[str, Callable[[Path], list[str]]] = {
    ".csv": lambda path: _delimited_names(path, ","),
    ".jsonl": _json_line_names,
    ".parquet": lambda path: _distinct(parquet.read_schema(path).names),
    ".tsv": lambda path: _delimited_names(path, "\t"),
}


def find_file(field: str, source: str) -> Path:
    """The file `source`, which the spec names in `field`; it is not opened.

    Raises:
        RequestError: the suffix is unknown, or there is no such file.
    """
    path = Path(source).expanduser()
    if path.suffix.lower() not in _READERS:
        allowed = f"{', '.join(_READERS)}, or {{hub: ID, name: CONFIGURATION, split: SPLIT}}"
        raise RequestError(f"{field} = {source}: unknown suffix {path.suffix!r}; allowed: {allowed}")
    if not path.exists():
        raise RequestError(f"{field} = {source}: no such file; allowed: a file of examples")
    return path


def read_file(field: str, source: str) -> Columns:
    """Every column of the file `source`, which the spec names in `field`.

    Raises:
        RequestError: the suffix is unknown, or the file is absent or not what its suffix says.
    """
    return _read(_READERS, field, source, find_file(field, source))


def column_names(field: str, source: str) -> list[str] | None:
    """The columns of the file `source`, without reading its rows; None where they cannot be known so.

    Raises:
        RequestError: as `read_file` does, as far as it is known.
    """
    path = find_file(field, source)
    if path.is_dir():
        raise RequestError(f"{field} = {source}: is a folder; allowed: a file of examples")
    return _read(_NAMES, field, source, path) if path.suffix.lower() in _NAMES else None


def _read(readers: Mapping[str, Callable[[Path], R]], field: str, source: str, path: Path) -> R:
    try:
        return readers[path.suffix.lower()](path)
    except (OSError, ValueError, RecursionError, csv.Error, arrow.ArrowException) as error:
        form = path.suffix[1:]
        raise RequestError(
            f"{field} = {source}: cannot be read as {form} ({one_line(error)}); allowed: a whole {form} file"
        ) from None
