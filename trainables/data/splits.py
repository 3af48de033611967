"""The encoded splits of a spec. Only `load_test` reads rows of the test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from spaces.errors import RequestError
from spaces.spec.sections import Source, Task
from spaces.spec.spec import SearchSpec
from trainables.data.causal_lm.packing import pack
from trainables.data.column_checks import is_blurred, near_twins
from trainables.data.encoded_split import Array, EncodedSplit, EncodedTokens
from trainables.data.encoders import Encoder, encoder
from trainables.data.files import column_names, find_files
from trainables.data.tables import Column, Table, check_columns, read_table
from trainables.data.targets.readers import target_reader

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """The splits that trials train on and are compared on.

    Attributes:
        train: the training split.
        validation: the validation split.
        labels: class names by position; empty for tasks without classes.
        notes: remarks for the user: no errors, but perhaps not what was meant.
    """

    train: EncodedSplit
    validation: EncodedSplit
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


def load_splits(spec: SearchSpec) -> Splits:
    """Read, check and encode the training and the validation split.

    A validation split that the spec leaves out is `data.validation_fraction` of the training split, drawn with
    `search.seed` and, for classes, in their proportions.

    Raises:
        RequestError: naming the field, and the row if one row is at fault.
    """
    encode = encoder(spec)
    train = _read("data.train", spec.data.train, spec, encode)
    notes = _reading_notes(train)
    reader = target_reader(spec)
    labels = () if reader is None else reader.names(train)
    given = _targets(train, spec, labels)
    notes += _label_notes(spec, labels, given)
    if reader is not None and given is not None:
        reader.check(train, given)
    if spec.data.validation is None:
        classes = None if reader is None or given is None else reader.strata(given)
        kept, held_out = split_positions(train, classes, spec.data.validation_fraction, spec.search.seed)
        train, validation = train.take(kept), train.take(held_out)
    else:
        validation = _read("data.validation", spec.data.validation, spec, encode)
        notes += _reading_notes(validation)
    # All labels are checked before the first text or image is encoded, because encoding takes longer.
    targets, checks = (_targets(table, spec, labels) for table in (train, validation))
    if (
        reader is not None
        and checks is not None
        and (spec.data.validation is not None or reader.strata(checks) is None)
    ):
        reader.check(validation, checks)
    encoded = encode.encode(train, targets), encode.encode(validation, checks)
    for field, split in zip(("data.train", "data.validation"), encoded, strict=True):
        notes += _cut_notes(field, split, spec.data.max_length)
        notes += [f"{field}: {note}" for note in split.notes]
    trained, validated = replace(encoded[0], prompted=None), encoded[1]
    if spec.data.packing and isinstance(trained, EncodedTokens):
        examples, trained = len(trained), pack(trained, spec.data.max_length)
        notes.append(f"data.packing: {examples:,} rows of data.train are packed into {len(trained):,}")
    return Splits(trained, validated, labels, tuple(notes))


def _reading_notes(table: Table) -> list[str]:
    return [f"{table.field} = {table.source}: {note}" for note in table.notes]


def _label_notes(spec: SearchSpec, labels: Sequence[str], given: Array | None) -> list[str]:
    label = spec.data.label
    named = f"data.label = {label if isinstance(label, str) else list(label)}"
    notes = [
        f"{named}: {one!r} and {other!r} differ in capitals alone and are two classes"
        for one, other in near_twins(labels)
    ]
    if spec.model.task is Task.REGRESSION and given is not None and is_blurred(given):
        notes.append(f"{named}: targets differ by less than a model computes with (float32); shift or scale them")
    return notes


def _cut_notes(field: str, split: EncodedSplit, max_length: int) -> list[str]:
    """Return notes on how many examples were cut, which a score alone would not show.

    Raises:
        RequestError: when every response lost its end, so that a model could never learn to stop.
    """
    cut, named = split.cut, f"data.max_length = {max_length}"
    if cut.responses == len(split):
        raise RequestError(
            f"{named}: every response of {field} loses its end; "
            f"allowed: more, such as the {cut.longest:,} tokens of the longest example"
        )
    if not cut.rows:
        return []
    ends = f"; {_share(cut.responses, split)} lose the end of their response" if cut.responses else ""
    rows = f"{_share(cut.rows, split)} of {field} have more tokens and are cut, the longest has {cut.longest:,}"
    return [f"{named}: {rows}{ends}"]


def _share(part: int, split: EncodedSplit) -> str:
    return f"{part:,} of {len(split):,} rows ({100 * part / len(split):.3g} %)"


def check_test(spec: SearchSpec) -> None:
    """Check, without reading a row, that the test split is files with the columns of the spec; a hub's is not checked.

    Confirm reads it at the end of the search, which is too late to find that it is missing.

    Raises:
        RequestError: naming the field.
    """
    if isinstance(spec.data.test, str | tuple):
        columns = _columns(spec, encoder(spec))
        for path in find_files("data.test", spec.data.test):
            found = column_names("data.test", path)
            if found is not None:
                check_columns(path, columns, found)


def load_test(spec: SearchSpec, labels: Sequence[str]) -> EncodedSplit | None:
    """Read and encode the test split; None if the spec has none. `labels` are those of the training split.

    Raises:
        RequestError: naming the field, and the row if one row is at fault.
    """
    if spec.data.test is None:
        return None
    encode = encoder(spec)
    table = _read("data.test", spec.data.test, spec, encode)
    return encode.encode(table, _targets(table, spec, labels))


def _read(field: str, source: Source, spec: SearchSpec, encode: Encoder) -> Table:
    return read_table(field, source, _columns(spec, encode))


def _columns(spec: SearchSpec, encode: Encoder) -> tuple[Column, ...]:
    reader = target_reader(spec)
    return encode.columns if reader is None else (*encode.columns, *reader.columns)


def _targets(table: Table, spec: SearchSpec, labels: Sequence[str]) -> Array | None:
    reader = target_reader(spec)
    return None if reader is None else reader.read(table, labels)


def split_positions(table: Table, classes: Array | None, fraction: float, seed: int) -> tuple[Positions, Positions]:
    """Return the positions that stay in train and those for validation, both ascending; stratified by `classes`.

    Raises:
        RequestError: when a part would be too small, or train would lack a class.
    """
    size = len(table)
    held_out = round(size * fraction)
    counts = np.array([size]) if classes is None else np.bincount(classes)
    if classes is not None and counts.min() < 2:
        position = int(np.flatnonzero(classes == counts.argmin())[0])
        raise table.problem(position, "alone with its label; allowed: two rows of each label, or data.validation")
    if not len(counts) <= held_out <= size - len(counts):
        raise RequestError(
            f"data.validation_fraction = {fraction}: {held_out} of {size} rows; "
            f"allowed: {len(counts)} to {size - len(counts)} rows, or data.validation"
        )
    kept, drawn = train_test_split(np.arange(size), test_size=held_out, random_state=seed, stratify=classes)
    if classes is not None and len(np.unique(classes[kept])) < len(counts):
        raise RequestError(
            f"data.validation_fraction = {fraction}: takes every row of a label; allowed: less, or data.validation"
        )
    if classes is not None and len(np.unique(classes[drawn])) < min(2, len(counts)):
        raise RequestError(
            f"data.validation_fraction = {fraction}: leaves validation one label; allowed: more, or data.validation"
        )
    return np.sort(kept), np.sort(drawn)
