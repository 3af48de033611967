"""LN tuning (arXiv 2312.11420): the base's own normalisations are trained, and nothing is added; from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods._own_parameters import OwnParameters, OwnParametersConfiguration
from spaces.model.inventory import BaseParameter


class LnTuningConfiguration(OwnParametersConfiguration):
    """The weights and biases of the normalisations train; with all blocks, of those outside them too."""

    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of the normalisations.")


class LnTuning(OwnParameters[LnTuningConfiguration]):
    """Trains the normalisations, as private copies in the type of the base.

    The learning-rate prior is by analogy with LoRA's.
    """

    name = "ln-tuning"
    summary = "normalisation layers alone"
    source = "arXiv 2312.11420; PEFT"
    configuration = LnTuningConfiguration

    def belongs(self, parameter: BaseParameter) -> bool:
        return parameter.role == "norm"


METHODS = (LnTuning(),)
