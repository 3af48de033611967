"""The files that a source of examples names: one, or a list."""

from __future__ import annotations

from collections.abc import Callable

from spaces.spec.sections import Source


def files_of(source: Source | None) -> tuple[str, ...]:
    """Return the files, folders and patterns that a source names; none for a data set on the hub."""
    if isinstance(source, str):
        return (source,)
    return source if isinstance(source, tuple) else ()


def with_files(source: Source | None, changed: Callable[[str], str]) -> Source | None:
    """Return the source with each of its files, folders and patterns changed; one on the hub as it is."""
    if isinstance(source, str):
        return changed(source)
    return tuple(map(changed, source)) if isinstance(source, tuple) else source


def source_text(source: str | tuple[str, ...]) -> str:
    """Return files for a message: the first one, and how many more there are."""
    first, *more = files_of(source)
    return f"{first} and {len(more):,} more" if more else first
