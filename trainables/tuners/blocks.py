"""Whole transformer blocks with adapters around them."""

from __future__ import annotations

from spaces.errors import RequestError
from trainables.tuners.base import Transparent, Tuner


class AdaptedBlock(Transparent):
    """A transformer block with adapters. Subclasses define an adapter. It cannot be merged."""


class BlockTuner(Tuner):
    """A tuner that puts `tuner_layer_cls`, an `AdaptedBlock`, around every target."""

    def _check_merge_allowed(self) -> None:
        """Refuse to merge.

        Raises:
            RequestError: always.
        """
        name = type(self).prefix.rstrip("_")
        raise RequestError(f"{name} cannot be merged into the base's weights; allowed: keep it as an adapter")


def block_of(layer: str) -> str:
    """Return the name of the block around the layer called `layer`: its path up to the first number.

    Example:
        >>> block_of("bert.encoder.layer.0.output.dense")
        'bert.encoder.layer.0'
    """
    parts = layer.split(".")
    return ".".join(parts[: next(place for place, part in enumerate(parts) if part.isdigit()) + 1])
