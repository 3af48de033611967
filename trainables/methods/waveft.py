"""WaveFT (arXiv 2505.12532), by PEFT's own tuner."""

from __future__ import annotations

from peft import WaveFTConfig

from spaces.methods.waveft import WaveFtConfiguration
from trainables.methods._spectral import Spectral


class WaveFt(Spectral[WaveFtConfiguration]):
    """Wavelet coefficients of the update."""

    name = "waveft"
    config = WaveFTConfig


ADAPTERS = (WaveFt(),)
