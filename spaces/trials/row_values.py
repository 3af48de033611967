"""Values of a metric by validation row, packed small enough to be stored beside a result.

The mean of the values is the metric, and the error of that mean is the error of the metric. The values are outcomes of
rows if the metric is a mean over rows, otherwise influences of rows. So the difference of two trainings on the same
rows is the mean of the differences of their values, and has the error of that mean, whatever the metric.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

MOST_BYTES = 1_500
"""Bytes of packed values: they fit into a tag of MLflow (8,000 characters), and ten thousand may be read at once."""

MOST_BITS = 8 * MOST_BYTES
MOST_NUMBERS = MOST_BYTES // 2


@dataclass(frozen=True, eq=False)
class RowValues:
    """The values of a metric on `rows` rows, as means over groups of `group` rows; the last group may be smaller."""

    values: Values
    rows: int
    group: int

    @property
    def error(self) -> float:
        """The standard error of the metric, for rows drawn from an infinite population."""
        return _error(self.values, self._weights())

    @property
    def mean(self) -> float:
        """The metric."""
        return float(np.average(self.values, weights=self._weights()))

    def fits(self, other: RowValues) -> bool:
        """Return whether both are values on the same rows, in the same groups."""
        return (self.rows, self.group) == (other.rows, other.group)

    def _weights(self) -> Values:
        weights = np.full(len(self.values), float(self.group))
        weights[-1] = self.rows - self.group * (len(self.values) - 1)
        return weights


def average(several: Sequence[RowValues]) -> RowValues:
    """Return the mean of the values of several trainings on the same rows."""
    first = several[0]
    return RowValues(np.mean([one.values for one in several], axis=0), first.rows, first.group)


def paired_error(left: RowValues, right: RowValues) -> float:
    """Return the standard error of the difference of two metrics on the same rows."""
    return _error(left.values - right.values, left._weights())


def _error(values: Values, weights: Values) -> float:
    """Return the standard error of a weighted mean of independent values."""
    count = len(values)
    if count < 2:
        return math.inf  # a single value has no known spread
    apart = weights * (values - np.average(values, weights=weights))
    return math.sqrt(float(np.sum(apart**2)) * count / (count - 1)) / float(weights.sum())


def pack(values: npt.NDArray[Any]) -> str | None:
    """Return the values of all rows as text of at most 2,100 characters; None if one is not finite.

    Outcomes of 0 or 1 are stored as bits, up to 12,000 rows; other numbers in half precision about their mean, up to
    750 rows. For more rows the means of groups are stored, with the same groups for every training. Groups are drawn at
    random, because neighbours may be alike in sorted data. A comparison then only loses degrees of freedom, and 750 are
    plenty.

    Args:
        values: one value for each row, shape (rows,).
    """
    rows = len(values)
    if not rows or not np.isfinite(values).all():
        return None
    if rows <= MOST_BITS and np.isin(values, (0, 1)).all():
        return f"bits {rows} {_text(np.packbits(values.astype(bool)).tobytes())}"
    group = math.ceil(rows / MOST_NUMBERS)
    starts = np.arange(0, rows, group)
    sizes = np.diff(np.append(starts, rows))
    means = np.add.reduceat(values.astype(np.float64)[_shuffled(rows)] if group > 1 else values, starts) / sizes
    centre = float(np.average(means, weights=sizes))
    scale = float(np.abs(means - centre).max()) or 1.0
    numbers = ((means - centre) / scale).astype("<f2").tobytes()
    return f"numbers {rows} {group} {centre!r} {scale!r} {_text(numbers)}"


def _shuffled(count: int) -> npt.NDArray[np.int64]:
    """Return positions in a random order that depends on `count` alone, in every version of NumPy: by SplitMix64."""
    mixed = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")


def unpack(text: str | None) -> RowValues | None:
    """Return the values that `pack` stored; None if there is no text, or it cannot be read."""
    try:
        kind, rows, *more = (text or "").split(" ")
        if kind == "bits":
            bits = np.unpackbits(np.frombuffer(_bytes(more[0]), dtype=np.uint8), count=int(rows))
            return RowValues(bits.astype(np.float64), int(rows), 1)
        if kind == "numbers":
            group, centre, scale = int(more[0]), float(more[1]), float(more[2])
            numbers = np.frombuffer(_bytes(more[3]), dtype="<f2").astype(np.float64) * scale + centre
            whole = group > 0 and len(numbers) == math.ceil(int(rows) / group) and bool(np.isfinite(numbers).all())
            return RowValues(numbers, int(rows), group) if whole else None
    except (ValueError, IndexError, binascii.Error, zlib.error):
        pass
    return None


def _text(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _bytes(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text, validate=True))
