"""The columns of a file or a data set as they were read, before any check."""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True)
class Content:
    """Columns by name, of one length: lists, or arrow's chunked arrays if the source is typed.

    Attributes:
        columns: the columns.
        notes: remarks for the user on how it was read.
        class_names: the names of the classes, of columns whose values are positions of classes.
    """

    columns: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, decompressed if its name ends in .gz."""
    if path.suffix.lower() != ".gz":
        return path.open("rb")
    return io.BufferedReader(gzip.open(path))


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file, decompressed if its name ends in .gz."""
    with open_bytes(path) as file:
        return file.read()


def decoded(content: bytes) -> str:
    """Return the text of a file.

    Raises:
        ValueError: naming the line, when it is not UTF-8 or holds NUL bytes, as UTF-16 does.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("line 1: UTF-16 instead of UTF-8")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise ValueError(f"line {_line(content, error.start)}: byte {byte:#04x} is not UTF-8") from None
    nul = content.find(b"\0")
    if nul >= 0:
        raise ValueError(f"line {_line(content, nul)}: a NUL byte")
    return text.removeprefix("\ufeff")


def _line(content: bytes, place: int) -> int:
    end = b"\n" if b"\n" in content else b"\r"
    return content.count(end, 0, place) + 1


def distinct(names: Sequence[str]) -> Sequence[str]:
    """Return the names, after checking that no name occurs twice.

    Raises:
        ValueError: naming one that does.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"a column is named {name!r} twice")
        seen.add(name)
    return names
