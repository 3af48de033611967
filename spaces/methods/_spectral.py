"""Trained coefficients of a transform of the update, shared by FourierFT and WaveFT."""

from __future__ import annotations

from typing import TypeVar

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod, Layers
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class CoefficientsConfiguration(PlacedConfiguration):
    """W + scaling · T(S), where S has `coefficients` entries, 0 at the start, at places drawn with the training's seed.

    The seed is shipped instead of the places.
    """

    coefficients: int = Field(default=1000, ge=1, description="Trained coefficients of each target.")


S = TypeVar("S", bound=CoefficientsConfiguration)


class Spectral(LayerMethod[S]):
    """Trains k parameters for each weight, whatever its shape."""

    size_knob = "coefficients"

    def parameters(self, configuration: S, layer: LinearLayer) -> int:
        return configuration.coefficients

    def obstacle(self, configuration: S, layer: LinearLayer) -> str | None:
        if configuration.coefficients > layer.size:
            return f"coefficients = {configuration.coefficients} exceeds the entries of {layer.name} ({layer.size:,})"
        return None

    def sizes(self, configuration: S, layers: Layers) -> range:
        return range(1, min(one.size for one in layers) + 1)
