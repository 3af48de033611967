"""WaveFT (arXiv 2505.12532): a few trained wavelet coefficients of the update, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods._spectral import CoefficientsConfiguration, Spectral


class WaveFtConfiguration(CoefficientsConfiguration):
    """W + scaling · the inverse Daubechies-1 wavelet transform of S."""

    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate of the coefficients.")
    scaling: float = Field(default=25.0, gt=0, description="Scale of the update (PEFT's: 25).")


class WaveFt(Spectral[WaveFtConfiguration]):
    """The learning-rate prior is by analogy with LoRA's."""

    name = "waveft"
    summary = "random wavelet coefficients of the update"
    source = "arXiv 2505.12532; PEFT"
    configuration = WaveFtConfiguration


METHODS = (WaveFt(),)
