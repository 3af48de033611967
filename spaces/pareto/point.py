"""A point of the plane of trainable parameters and quality, as every rule that compares trials sees a trial."""

from __future__ import annotations

from dataclasses import dataclass

SIZE_REGION = 0.5
"""Width of a region of sizes, in powers of ten of trainable parameters: trials within one are of about one size."""


@dataclass(frozen=True)
class Point:
    """A trial with its trainable parameters and its quality, at one rung or at its end."""

    trial: str
    parameters: int
    quality: float
