"""One split of examples as columns of plain Python values, read from a file or from the hub."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as arrow

from spaces.errors import RequestError, one_line
from spaces.spec.sections import HubSource, Source
from trainables.data.content import Content
from trainables.data.data_set_files import own_files
from trainables.data.files import is_image_folder, read_file
from trainables.data.sources.patterns import matching_files

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
        source: the file, or the data set on the hub.
        columns: the values by column.
        rows: the examples' numbers in the source, from 1, without the header; of several files with the file's name.
        folder: the folder that holds image paths; None if the hub's library chose their places.
        notes: as in `Content`.
        class_names: as in `Content`.
    """

    field: str
    source: str
    columns: Mapping[str, list[Any]]
    rows: Sequence[int | str]
    folder: Path | None
    notes: tuple[str, ...] = ()
    class_names: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Iterable[int]) -> Table:
        """Return the examples at `positions`, with their row numbers."""
        chosen = list(positions)
        columns = {name: [values[i] for i in chosen] for name, values in self.columns.items()}
        return replace(self, columns=columns, rows=[self.rows[i] for i in chosen])

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
        RequestError: when the source is absent, unreadable or empty, or lacks a column.
    """
    matched = None if isinstance(source, HubSource) else matching_files(field, source)
    if matched is not None:
        return _joined(field, str(source), [read_table(field, str(path), columns) for path in matched], matched)
    if isinstance(source, HubSource):
        name, content = _hub_name(source), _read_hub(field, source)
        folder: Path | None = None
    else:
        name, content = source, read_file(field, source)
        path = Path(source).expanduser()
        folder = path if is_image_folder(path) else path.parent
    size = max(map(len, content.columns.values()), default=0)
    if size == 0:
        raise RequestError(f"{field} = {name}: has no rows; allowed: at least one")
    check_columns(name, columns, content.columns)
    plain = {column: _plain(field, name, column, content.columns[column]) for _, column in columns}
    return Table(field, name, plain, range(1, size + 1), folder, content.notes, content.class_names)


def _joined(field: str, source: str, tables: Sequence[Table], paths: Sequence[Path]) -> Table:
    """Return the examples of several files as those of one.

    Raises:
        RequestError: when columns of class positions have other classes in another file.
    """
    first = tables[0]
    for table in tables:
        if table.class_names != first.class_names:
            raise RequestError(f"{field} = {table.source}: has other classes than {first.source}; allowed: the same")
    return Table(
        field,
        source,
        {name: [value for table in tables for value in table.columns[name]] for name in first.columns},
        [f"{row} of {path.name}" for table, path in zip(tables, paths, strict=True) for row in table.rows],
        # Paths of images are relative to the folder of their file.
        first.folder if len({table.folder for table in tables}) == 1 else None,
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
