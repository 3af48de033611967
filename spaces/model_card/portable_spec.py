"""A spec without the paths of the machine that it ran on, for use elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath

from spaces.spec.sections import HubSource, ModelSection, Source, TrackingSection
from spaces.spec.sources import files_of
from spaces.spec.spec import SearchSpec

SPLITS = ("train", "validation", "test")


def is_local(path: str) -> bool:
    """Return whether a path of a model names a local folder; a search stores such paths as absolute ones."""
    return path.startswith(("/", "~", ".", "file:")) or PurePath(path).is_absolute()


def model_name(model: ModelSection) -> str:
    """Return the hub id of a model, or the last name of its folder."""
    return _last(model.path) if is_local(model.path) else model.path


def portable(spec: SearchSpec) -> SearchSpec:
    """Return the spec with the last names of local folders and files in place of their paths.

    Several files with the same last name are preceded by the name of their split, and in a list by their place in it.
    Storage and tracking have their defaults.
    """
    sources = {split: getattr(spec.data, split) for split in SPLITS}
    return spec.model_copy(
        update={
            "model": spec.model.model_copy(update={"path": model_name(spec.model)}),
            "data": spec.data.model_copy(update={**_named(sources), "chat_template": _template(spec)}),
            "search": spec.search.model_copy(update={"study_storage": None}),
            "tracking": TrackingSection(),
            "storage": type(spec).model_fields["storage"].default,
        }
    )


def source_name(source: Source) -> str:
    """Return the name of a split for readers: the last name of a file, or the id of a data set on the hub."""
    if isinstance(source, HubSource):
        where = _last(source.hub) if is_local(source.hub) else source.hub
        return ":".join(part for part in (where, source.name, source.split) if part)
    first, *more = map(_last, files_of(source))
    return f"{first} and {len(more):,} more" if more else first


def _named(sources: dict[str, Source | None]) -> dict[str, Source | None]:
    lasts = Counter(_last(one) for one in {path for source in sources.values() for path in files_of(source)})
    found: dict[str, Source | None] = {}
    for split, source in sources.items():
        if isinstance(source, HubSource):
            found[split] = source.model_copy(update={"hub": _last(source.hub)}) if is_local(source.hub) else source
        elif isinstance(source, tuple):
            found[split] = tuple(_distinct(one, f"{split}/{place}", lasts) for place, one in enumerate(source, start=1))
        else:
            found[split] = None if source is None else _distinct(source, split, lasts)
    return found


def _distinct(path: str, folder: str, lasts: Mapping[str, int]) -> str:
    """Return the last name of a path, in a folder if another path has the same."""
    return _last(path) if lasts[_last(path)] == 1 else f"{folder}/{_last(path)}"


def _template(spec: SearchSpec) -> str | None:
    """Return the last name of the chat template's file."""
    return None if spec.data.chat_template is None else _last(spec.data.chat_template)


def _last(path: str) -> str:
    return PurePath(path.removeprefix("file:")).name or "."
