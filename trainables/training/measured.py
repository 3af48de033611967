"""The quality of a model on a split."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """A quality, NaN if an output was not finite, and its values by row, packed; None if they are not known."""

    quality: float
    row_values: str | None
