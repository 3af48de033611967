"""LN tuning (arXiv 2312.11420), by PEFT's own tuner."""

from __future__ import annotations

from peft import LNTuningConfig, PeftConfig

from spaces.methods import ln_tuning as space
from spaces.methods.ln_tuning import LnTuningConfiguration
from spaces.model.inventory import Inventory
from trainables.methods._own_parameters import owners
from trainables.tuners.adapter import Adapter


class LnTuning(Adapter[LnTuningConfiguration]):
    """The weights and biases of the normalisations."""

    name = "ln-tuning"

    def peft_config(self, configuration: LnTuningConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Target the normalisations by their full names."""
        return LNTuningConfig(target_modules=owners(space.LnTuning(), configuration, inventory))


ADAPTERS = (LnTuning(),)
