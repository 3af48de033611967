"""Reads files of examples by suffix; text is never taken for a number or for a gap."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from spaces.errors import RequestError
from trainables.data.messages import one_line

Columns = Mapping[str, Any]
"""Sequences of one length by column name: lists, or arrow's chunked arrays where a file is typed."""

# The default limit of 131,072 characters is shorter than a long document.
_LONGEST_CSV_FIELD = 2**31 - 1


def _delimited(path: Path, delimiter: str) -> Columns:
    csv.field_size_limit(_LONGEST_CSV_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise ValueError("the header names a column twice")
        rows = []
        for row in reader:
            if row and len(row) != len(header):
                raise ValueError(f"line {reader.line_num}: {len(row)} fields under a header of {len(header)}")
            if row:
                rows.append(row)
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


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
    return _records(records)


def _json(path: Path) -> Columns:
    """A file that holds one list of objects, or else one object a line."""
    text = path.read_text(encoding="utf-8-sig")
    return _records(json.loads(text)) if text.lstrip().startswith("[") else _json_lines(path)


def _parquet(path: Path) -> Columns:
    table = parquet.ParquetFile(path).read()
    return dict(zip(table.column_names, table.columns, strict=True))


_READERS: Mapping[str, Callable[[Path], Columns]] = {
    ".csv": lambda path: _delimited(path, ","),
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
    ".tsv": lambda path: _delimited(path, "\t"),
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
    path = find_file(field, source)
    try:
        return _READERS[path.suffix.lower()](path)
    except (OSError, ValueError, csv.Error, arrow.ArrowException) as error:
        raise RequestError(f"{field} = {source}: cannot be read as {path.suffix[1:]} ({one_line(error)})") from None
