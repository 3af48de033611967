"""Orthogonal blocks on the inputs of a weight, shared by OFT and BOFT."""

from __future__ import annotations

from spaces.model.inventory import LinearLayer


def undivided(size: int, layer: LinearLayer) -> str | None:
    """Return why blocks of order `size` do not divide the inputs of `layer`; None if they do."""
    if layer.in_features % size == 0:
        return None
    return (
        f"block_size = {size} does not divide the {layer.in_features:,} inputs of {layer.name}; allowed: a divisor of "
        "the inputs of every target"
    )
