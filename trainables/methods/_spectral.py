"""The settings that FourierFT and WaveFT share: trained coefficients at random places of a spectrum."""

from __future__ import annotations

from typing import Any, TypeVar

from spaces.methods.base.layer_method import Layers
from spaces.methods.fourierft import FourierFtConfiguration
from spaces.methods.waveft import WaveFtConfiguration
from trainables.tuners.peft_method import LayerAdapter, transposed

C = TypeVar("C", FourierFtConfiguration, WaveFtConfiguration)


class Spectral(LayerAdapter[C]):
    """Coefficients at random places of a spectrum; PEFT's `init_weights` starts them at 0."""

    def settings(self, configuration: C, layers: Layers, seed: int) -> dict[str, Any]:
        """Pass the training's seed, from which PEFT draws the places on the CPU."""
        return {
            "n_frequency": configuration.coefficients,
            "scaling": configuration.scaling,
            "random_loc_seed": seed,
            "init_weights": True,
            "fan_in_fan_out": transposed(layers),
        }
