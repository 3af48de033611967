"""Whole transformer blocks with adapters around them."""

from __future__ import annotations

from spaces.errors import RequestError
from trainables.tuners.base import Transparent, Tuner


class AdaptedBlock(Transparent):
    """A transformer block with adapters; subclasses say what an adapter is. It cannot be merged."""


class BlockTuner(Tuner):
    """Puts `tuner_layer_cls`, an `AdaptedBlock`, around every target."""

    def _check_merge_allowed(self) -> None:
        """Never.

        Raises:
            RequestError: always.
        """
        name = type(self).prefix.rstrip("_")
        raise RequestError(f"{name} cannot be merged into the base's weights; allowed: keep it as an adapter")


def block_of(layer: str) -> str:
    """Name of the block around the layer called `layer`: its path up to the first number."""
    parts = layer.split(".")
    return ".".join(parts[: next(place for place, part in enumerate(parts) if part.isdigit()) + 1])
