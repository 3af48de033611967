"""Reads comma- and tab-separated files, and refuses one whose rows could be read in two ways.

CSV files quote fields as RFC 4180 says. TSV files come in two kinds: those that quote in the same way (pandas,
spreadsheets), and those in which a quotation mark is an ordinary character and a row is a line (GLUE). In the second
kind, a reader that respects quotes would read from a mark at the beginning of one text to one at the end of another,
and merge all lines between into one row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from trainables.data.content import Content, decoded, distinct, open_bytes, read_bytes

# The default limit of 131,072 characters is shorter than a long document.
_LONGEST_FIELD = 2**31 - 1
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_OTHER_DELIMITERS = ";\t|,"
_DELIMITER_NAMES = {",": "commas", "\t": "tabs"}


class _Row(NamedTuple):
    """The fields of one row, and the numbers of its first and last line."""

    fields: list[str]
    first: int
    last: int


def read_delimited(path: Path, delimiter: str) -> Content:
    """Read the columns of a file with a header. A column without a name cannot be asked for and is left out.

    Raises:
        ValueError: naming the line, when the file is not of this form, or can be read in two ways.
    """
    lines = _lines(decoded(read_bytes(path)))
    rows = _rows(lines, delimiter)
    if not rows:
        return Content({})
    names = _names(rows[0].fields, delimiter)
    _check_widths(rows)
    columns = {name: [row.fields[place] for row in rows[1:]] for place, name in names.items()}
    running = [row for row in rows if row.last > row.first]
    if not running:
        return Content(columns)
    note = f"{len(running):,} rows run over line ends, within quotes; the first begins at line {running[0].first}"
    return Content(columns, (note,))


def read_header(path: Path, delimiter: str) -> list[str]:
    """Read the names of the columns, and no row.

    Raises:
        ValueError: when the header is not one.
    """
    with io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="") as file:
        first = next((line for line in iter(file.readline, "") if line.strip("\r\n")), "")
        fields = first.rstrip("\r\n").split(delimiter)
        if _quotes(fields):
            file.seek(0)
            fields = next(_quoted(file, delimiter)).fields
    return list(_names(fields, delimiter).values()) if first else []


def _names(fields: Sequence[str], delimiter: str) -> dict[int, str]:
    """Return the names of the columns by position, without empty ones."""
    names = {place: name for place, name in enumerate(fields) if name.strip()}
    if len(fields) == 1 and (others := [other for other in _OTHER_DELIMITERS if other in fields[0]]):
        raise ValueError(
            f"line 1: one column, separated by {others[0]!r} perhaps; a file of this suffix is separated by "
            f"{_DELIMITER_NAMES[delimiter]}"
        )
    distinct(list(names.values()))
    return names


def _lines(text: str) -> list[str]:
    """Return the lines with their ends, in the convention of Unix, Windows, or the first Macs."""
    end = "\n" if "\n" in text else "\r"
    return list(io.StringIO(text, newline=end))


def _rows(lines: Sequence[str], delimiter: str) -> list[_Row]:
    quotes = any('"' in line for line in lines)
    header = next((line for line in lines if line.strip("\r\n")), "")
    if quotes and _quotes(header.split(delimiter)):  # then all that needs quotes has them
        return list(_quoted(lines, delimiter))
    if quotes and delimiter == ",":
        return _told_apart(lines, delimiter)
    plain = _plain(lines, delimiter)
    if quotes and not _is_even(plain):
        return _told_apart(lines, delimiter)
    for row in plain:
        if any("\r" in field for field in row.fields):
            raise ValueError(f"line {row.first}: a carriage return within the line")
    return _unquoted(plain) if quotes and _are_quoted(plain) else plain


def _plain(lines: Sequence[str], delimiter: str) -> list[_Row]:
    """Yield a row for each line that is not empty."""
    numbered = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, start=1))
    return [_Row(line.split(delimiter), number, number) for number, line in numbered if line]


def _quotes(header: Sequence[str]) -> bool:
    return any(name.startswith('"') for name in header)


def _is_even(rows: Sequence[_Row]) -> bool:
    return all(len(row.fields) == len(rows[0].fields) for row in rows)


def _quoted(lines: Iterable[str], delimiter: str) -> Iterator[_Row]:
    """Yield rows as RFC 4180 defines them, without empty lines."""
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    first = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            open_to_the_end = "unexpected end" in str(error)
            problem = "its quotes are never closed" if open_to_the_end else str(error)
            raise ValueError(f"line {first if open_to_the_end else reader.line_num}: {problem}") from None
        if fields:
            yield _Row(fields, first, reader.line_num)
        first = reader.line_num + 1


def _are_quoted(rows: Sequence[_Row]) -> bool:
    """Return whether the quotation marks in rows that are lines enclose fields.

    They do if each field with one is enclosed, and needs it or belongs to a column that is enclosed as a whole.
    """
    columns = list(zip(*(row.fields for row in rows[1:]), strict=True))
    return all(
        all(_QUOTED.fullmatch(field) and '""' in field[1:-1] for field in column if '"' in field)
        or all(_QUOTED.fullmatch(field) for field in column)
        for column in columns
    )


def _unquoted(rows: Sequence[_Row]) -> list[_Row]:
    def content(field: str) -> str:
        return field[1:-1].replace('""', '"') if '"' in field else field

    return [_Row([content(field) for field in row.fields], row.first, row.last) for row in rows]


def _told_apart(lines: Sequence[str], delimiter: str) -> list[_Row]:
    """Return the rows that quotes enclose, if these surely enclose.

    Raises:
        ValueError: when a row of several lines could also be several rows with a quotation mark in two of them.
    """
    try:
        rows = list(_quoted(lines, delimiter))
    except ValueError:
        if delimiter == "\t":  # then the quotes are text, and a line is at fault
            _check_widths(_plain(lines, delimiter))
        raise
    width = len(rows[0].fields)
    running = [row for row in rows if row.last > row.first]
    if delimiter == "\t":
        doubtful = [row for row in running if any(delimiter in field for field in row.fields)]
    elif any(_needs_quotes(row, lines, width) for row in rows):
        doubtful = []
    else:
        doubtful = running
    if doubtful:
        raise ValueError(
            f"lines {doubtful[0].first} to {doubtful[0].last} are one row within quotes, or several of which two have "
            "a quotation mark; quote every field, the header's too, to tell"
        )
    return rows


def _needs_quotes(row: _Row, lines: Sequence[str], width: int) -> bool:
    """Return whether a row of a CSV file must be quoted: its lines alone have more or fewer fields than a row."""
    counts = [line.count(",") + 1 for line in lines[row.first - 1 : row.last]]
    if len(counts) > 1:
        return min(counts) < width
    return counts[0] > width or '""' in lines[row.first - 1]


def _check_widths(rows: Sequence[_Row]) -> None:
    width = len(rows[0].fields)
    for row in rows:
        if len(row.fields) != width:
            raise ValueError(f"line {row.last}: {len(row.fields)} fields under a header of {width}")
