"""The columns of a file or a data set as they were read, before anything is asked of them."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Content:
    """Columns by name, of one length: lists, or arrow's chunked arrays where the source is typed.

    `notes`: what is worth saying of how it was read. `class_names`: the names of the classes of columns whose values
    are their positions.
    """

    columns: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def decoded(content: bytes) -> str:
    """The text of a file.

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
    """The names, each of which must be there once.

    Raises:
        ValueError: naming one that comes twice.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"a column is named {name!r} twice")
        seen.add(name)
    return names
