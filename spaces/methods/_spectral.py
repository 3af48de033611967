"""FourierFT and WaveFT: a few trained coefficients of a transform of the update, from PEFT."""

from __future__ import annotations

from typing import TypeVar

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod, Layers
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class CoefficientsConfiguration(PlacedConfiguration):
    """W + scaling · T(S), where S has `coefficients` entries, 0 at the start, at places that the training's seed draws.

    The seed is shipped in their place.
    """

    coefficients: int = Field(default=1000, ge=1, description="Trained coefficients of each target.")


class FourierFtConfiguration(CoefficientsConfiguration):
    """W + scaling · Re(ifft2(S))."""

    learning_rate: float = Field(default=5e-2, gt=0, description="Peak learning rate of the coefficients.")
    scaling: float = Field(default=150.0, gt=0, description="Scale of the update (the paper's for GLUE: 150).")


class WaveFtConfiguration(CoefficientsConfiguration):
    """W + scaling · the inverse Daubechies-1 wavelet transform of S."""

    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate of the coefficients.")
    scaling: float = Field(default=25.0, gt=0, description="Scale of the update (PEFT's: 25).")


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


class FourierFt(Spectral[FourierFtConfiguration]):
    """The learning-rate prior is by analogy with LoRA's."""

    name = "fourierft"
    summary = "random Fourier coefficients of the update"
    source = "arXiv 2405.03003; PEFT"
    configuration = FourierFtConfiguration


class WaveFt(Spectral[WaveFtConfiguration]):
    """The learning-rate prior is by analogy with LoRA's."""

    name = "waveft"
    summary = "random wavelet coefficients of the update"
    source = "arXiv 2505.12532; PEFT"
    configuration = WaveFtConfiguration


METHODS = (FourierFt(), WaveFt())
