"""FourierFT (arXiv 2405.03003): a few trained Fourier coefficients of the update, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods._spectral import CoefficientsConfiguration, Spectral


class FourierFtConfiguration(CoefficientsConfiguration):
    """W + scaling · Re(ifft2(S))."""

    learning_rate: float = Field(default=5e-2, gt=0, description="Peak learning rate of the coefficients.")
    scaling: float = Field(default=150.0, gt=0, description="Scale of the update (the paper's for GLUE: 150).")


class FourierFt(Spectral[FourierFtConfiguration]):
    """The learning-rate prior is by analogy with LoRA's."""

    name = "fourierft"
    summary = "random Fourier coefficients of the update"
    source = "arXiv 2405.03003; PEFT"
    configuration = FourierFtConfiguration


METHODS = (FourierFt(),)
