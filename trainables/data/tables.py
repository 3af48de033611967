"""One split of examples as columns of plain Python values, read from a file or from the hub."""

from __future__ import annotations

import dataclasses
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as arrow

from spaces.errors import RequestError, one_line
from spaces.spec.sections import HubSource, Source
from spaces.spec.sources import source_text
from trainables.data.content import Content
from trainables.data.data_set_files import own_files
from trainables.data.files import find_files, is_image_folder, read_file

Column = tuple[str, str]
"""A field of the spec and the column that it names, such as ("data.label", "label")."""

_MOST_NAMES = 10
_LONGEST_NAME = 60

_VALUES = reprlib.Repr()
_VALUES.maxlevel = 2
_VALUES.maxdict = _VALUES.maxlist = 3
_VALUES.maxstring = _VALUES.maxother = _VALUES.maxlong = _LONGEST_NAME


@dataclass(frozen=True)
class Table:
    """Examples of one split.

    Attributes:
        field: the split's field in the spec.
        source: the file, the first of several files, or the data set on the hub.
        columns: the values by column.
        rows: the examples' numbers in the source, from 1, without the header; of several files with the file's name.
        folders: for each example the folder that holds image paths; None if the hub's library chose their places.
        notes: as in `Content`.
        class_names: as in `Content`.
    """

    field: str
    source: str
    columns: Mapping[str, list[Any]]
    rows: Sequence[int | str]
    folders: Sequence[Path | None]
    notes: tuple[str, ...] = ()
    class_names: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Iterable[int]) -> Table:
        """Return the examples at `positions`, with their row numbers."""
        chosen = list(positions)
        columns = {name: [values[i] for i in chosen] for name, values in self.columns.items()}
        rows, folders = [self.rows[i] for i in chosen], [self.folders[i] for i in chosen]
        return replace(self, columns=columns, rows=rows, folders=folders)

    def problem(self, position: int, message: str) -> RequestError:
        """Return an error about the example at `position`, to raise."""
        return RequestError(f"{self.field} = {self.source}: row {self.rows[position]}: {message}")


def _read_hub(field: str, source: HubSource) -> Content:
    import datasets  # slow to import, and not needed for files

    datasets.disable_progress_bars()
    try:
        with own_files(field, source):
            split = datasets.load_dataset(source.hub, source.name, split=source.split)
    except RequestError:
        raise
    except Exception as error:  # the hub's client, its HTTP library and the builders share no base class
        raise RequestError(
            f"{field} = {_hub_name(source)}: cannot be loaded ({one_line(error)}); allowed: a data set of the hub"
        ) from None
    # In arrow format images stay encoded, and no value is turned into a tensor.
    table = split.with_format("arrow")[:]
    # The items of a list of tags or labels may be positions of classes too.
    inner = {name: getattr(feature, "feature", feature) for name, feature in split.features.items()}
    named = {
        name: tuple(feature.names)
        for name, feature in inner.items()
        if isinstance(feature, datasets.ClassLabel) and feature.names
    }
    return Content(dict(zip(table.column_names, table.columns, strict=True)), class_names=named)


def _hub_name(source: HubSource) -> str:
    return "/".join(filter(None, (source.hub, source.name))) + f"[{source.split}]"


def check_columns(name: str, columns: Sequence[Column], found: Iterable[str]) -> None:
    """Check that the source called `name`, with the columns `found`, has those that are asked for.

    Raises:
        RequestError: when it lacks one.
    """
    there = list(found)
    for asked, column in columns:
        if column not in there:
            raise RequestError(f"{asked} = {column}: no such column in {name}; allowed: {listed(there)}")


def read_table(field: str, source: Source, columns: Sequence[Column]) -> Table:
    """Read the `columns` of a split, whose place in the spec is `field`. Text stays text.

    Raises:
        RequestError: when the source is absent, unreadable or empty, or lacks a column; or when several files cannot be
            read together.
    """
    if isinstance(source, HubSource):
        return _table(field, _hub_name(source), _read_hub(field, source), columns, folder=None)
    paths = find_files(field, source)
    tables = [_read_one(field, path, columns) for path in paths]
    return tables[0] if len(tables) == 1 else _joined(field, source_text(source), tables, _short_names(paths))


def _read_one(field: str, source: str, columns: Sequence[Column]) -> Table:
    content, path = read_file(field, source), Path(source).expanduser()
    return _table(field, source, content, columns, folder=path if is_image_folder(path) else path.parent)


def _table(field: str, name: str, content: Content, columns: Sequence[Column], folder: Path | None) -> Table:
    size = max(map(len, content.columns.values()), default=0)
    if size == 0:
        raise RequestError(f"{field} = {name}: has no rows; allowed: at least one")
    check_columns(name, columns, content.columns)
    plain = {column: _plain(field, name, column, content.columns[column]) for _, column in columns}
    return Table(field, name, plain, range(1, size + 1), [folder] * size, content.notes, content.class_names)


def _short_names(paths: Sequence[str]) -> list[str]:
    """Return the last names of the paths; or where two are equal, the paths from the folder that holds all."""
    lasts = [Path(path).name for path in paths]
    if len(set(lasts)) == len(lasts):
        return lasts
    absolute = [os.path.abspath(os.path.expanduser(path)) for path in paths]
    folder = os.path.commonpath([os.path.dirname(path) for path in absolute])
    return [os.path.relpath(path, folder) for path in absolute]


def _joined(field: str, source: str, tables: Sequence[Table], names: Sequence[str]) -> Table:
    """Return the examples of several files as those of one.

    Args:
        field: the split's field in the spec.
        source: the files, for messages.
        tables: the examples of each file.
        names: the name of each file, for the numbers of its rows.

    Raises:
        RequestError: when columns of class positions have other classes in another file.
    """
    first = tables[0]
    for table in tables:
        if any(table.class_names.get(column) != first.class_names.get(column) for column in first.columns):
            raise RequestError(f"{field} = {table.source}: has other classes than {first.source}; allowed: the same")
    return Table(
        field,
        source,
        {name: [value for table in tables for value in table.columns[name]] for name in first.columns},
        [f"{row} of {name}" for table, name in zip(tables, names, strict=True) for row in table.rows],
        [folder for table in tables for folder in table.folders],
        tuple(dict.fromkeys(note for table in tables for note in table.notes)),
        first.class_names,
    )


def _plain(field: str, name: str, column: str, values: Any) -> list[Any]:
    """Return the values as plain Python values, which not every arrow type can become."""
    if not isinstance(values, arrow.ChunkedArray):
        return list(values)
    try:
        return list(values.to_pylist())
    except (ValueError, OverflowError, arrow.ArrowException) as error:
        raise RequestError(
            f"{field} = {name}: column {column!r} of type {values.type} cannot be read ({one_line(error)}); "
            "allowed: text or numbers"
        ) from None


def shown(value: object) -> str:
    """Return a value as Python writes it, without its middle if that is long."""
    return _VALUES.repr(value)


def listed(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    short = [f"{name[:_LONGEST_NAME]}…" if len(name) > _LONGEST_NAME else name for name in names[:_MOST_NAMES]]
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(" ".join(name.split()) for name in short) + more
