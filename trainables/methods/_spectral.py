"""FourierFT (arXiv 2405.03003) and WaveFT (arXiv 2505.12532), PEFT's own."""

from __future__ import annotations

from typing import Any, TypeVar

from peft import FourierFTConfig, WaveFTConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.fourierft import FourierFtConfiguration
from spaces.methods.waveft import WaveFtConfiguration
from trainables.tuners.peft_method import LayerAdapter, transposed

C = TypeVar("C", FourierFtConfiguration, WaveFtConfiguration)


class Spectral(LayerAdapter[C]):
    """Coefficients at drawn places of a spectrum; `init_weights` asks PEFT for zeros."""

    def settings(self, configuration: C, layers: Layers, seed: int) -> dict[str, Any]:
        """The seed draws the places, on the CPU."""
        return {
            "n_frequency": configuration.coefficients,
            "scaling": configuration.scaling,
            "random_loc_seed": seed,
            "init_weights": True,
            "fan_in_fan_out": transposed(layers),
        }


class FourierFt(Spectral[FourierFtConfiguration]):
    """Fourier coefficients."""

    name = "fourierft"
    config = FourierFTConfig


class WaveFt(Spectral[WaveFtConfiguration]):
    """Wavelet coefficients."""

    name = "waveft"
    config = WaveFTConfig


ADAPTERS = (FourierFt(), WaveFt())
