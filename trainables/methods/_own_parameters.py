"""BitFit (arXiv 2106.10199) as a PEFT tuner, and LN tuning (arXiv 2312.11420), PEFT's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft import LNTuningConfig, PeftConfig
from peft.utils import PeftType

from spaces.methods import bitfit, ln_tuning
from spaces.methods._own_parameters import OwnParameters, OwnParametersConfiguration
from spaces.methods.bitfit import BitFitConfiguration
from spaces.methods.ln_tuning import LnTuningConfiguration
from spaces.model.inventory import Inventory
from trainables.tuners.adapter import Adapter
from trainables.tuners.base import LinearConfig, Tuner, register
from trainables.tuners.bias import BiasLayer


@dataclass
class BitFitConfig(LinearConfig):
    """The targets are modules with a bias that they add last."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType["BITFIT"]


class BitFitModel(Tuner):
    """Puts a `BiasLayer` around every target."""

    prefix = "bitfit_"
    tuner_layer_cls = BiasLayer


register("bitfit", BitFitConfig, BitFitModel)


class BitFit(Adapter[BitFitConfiguration]):
    """Biases."""

    name = "bitfit"

    def peft_config(self, configuration: BitFitConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """The modules that own the biases."""
        return BitFitConfig(target_modules=_owners(bitfit.BitFit(), configuration, inventory))


class LnTuning(Adapter[LnTuningConfiguration]):
    """Normalisations."""

    name = "ln-tuning"

    def peft_config(self, configuration: LnTuningConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """The normalisations by their full names."""
        return LNTuningConfig(target_modules=_owners(ln_tuning.LnTuning(), configuration, inventory))


def _owners(method: OwnParameters[Any], configuration: OwnParametersConfiguration, inventory: Inventory) -> list[str]:
    chosen = method.parameters(configuration, inventory)
    return list(dict.fromkeys(one.name.rpartition(".")[0] for one in chosen))


ADAPTERS = (BitFit(), LnTuning())
