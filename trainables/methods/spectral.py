"""FourierFT (arXiv 2405.03003) and WaveFT (arXiv 2505.12532), PEFT's own."""

from __future__ import annotations

from typing import Any

from peft import FourierFTConfig, WaveFTConfig

from spaces.bridge import Layers
from spaces.methods.spectral import FourierFtConfiguration, WaveFtConfiguration
from trainables.bridge import LayerAdapter, transposed


class FourierFt(LayerAdapter[FourierFtConfiguration]):
    """Fourier coefficients; `init_weights` asks PEFT for zeros."""

    name = "fourierft"
    config = FourierFTConfig

    def settings(self, configuration: FourierFtConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """The seed draws the places, on the CPU."""
        return {
            "n_frequency": configuration.coefficients,
            "scaling": configuration.scaling,
            "random_loc_seed": seed,
            "init_weights": True,
            "fan_in_fan_out": transposed(layers),
        }


class WaveFt(LayerAdapter[WaveFtConfiguration]):
    """Wavelet coefficients; `init_weights` asks PEFT for zeros."""

    name = "waveft"
    config = WaveFTConfig

    def settings(self, configuration: WaveFtConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """The seed draws the places, on the CPU."""
        return {
            "n_frequency": configuration.coefficients,
            "scaling": configuration.scaling,
            "random_loc_seed": seed,
            "init_weights": True,
            "fan_in_fan_out": transposed(layers),
        }


ADAPTERS = (FourierFt(), WaveFt())
