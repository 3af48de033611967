"""FourierFT (arXiv 2405.03003), by PEFT's own tuner."""

from __future__ import annotations

from peft import FourierFTConfig

from spaces.methods.fourierft import FourierFtConfiguration
from trainables.methods._spectral import Spectral


class FourierFt(Spectral[FourierFtConfiguration]):
    """Fourier coefficients of the update."""

    name = "fourierft"
    config = FourierFTConfig


ADAPTERS = (FourierFt(),)
