"""BitFit (arXiv 2106.10199): the base's own biases are trained, and nothing is added."""

from __future__ import annotations

from pydantic import Field

from spaces.methods._own_parameters import OwnParameters, OwnParametersConfiguration
from spaces.model.inventory import BaseParameter


class BitFitConfiguration(OwnParametersConfiguration):
    """The biases inside the transformer blocks train, those of the normalisations too."""

    learning_rate: float = Field(default=3e-3, gt=0, description="Peak learning rate of the biases.")


class BitFit(OwnParameters[BitFitConfiguration]):
    """Trains the biases of the blocks. The learning-rate prior is by analogy with LoRA's."""

    name = "bitfit"
    summary = "biases alone"
    source = "arXiv 2106.10199"
    configuration = BitFitConfiguration

    def belongs(self, parameter: BaseParameter) -> bool:
        bias = parameter.role == "bias" or (parameter.role == "norm" and parameter.name.endswith(".bias"))
        return bias and parameter.block is not None


METHODS = (BitFit(),)
