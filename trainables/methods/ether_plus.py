"""ETHER+ (arXiv 2405.20271)."""

from __future__ import annotations

from peft import PeftConfig

from spaces.methods.ether_plus import EtherPlusConfiguration
from spaces.model.inventory import Inventory
from trainables.methods._reflections import EtherConfig
from trainables.tuners.low_rank import LowRankAdapter


class EtherPlus(LowRankAdapter[EtherPlusConfiguration]):
    """Relaxed reflections I − û ûᵀ + v̂ v̂ᵀ; a LoRA has a rank for each unit vector."""

    name = "ether-plus"
    config = EtherConfig

    def peft_config(self, configuration: EtherPlusConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Target the chosen layers with the relaxed form."""
        config = super().peft_config(configuration, inventory, seed)
        config.relaxed = True
        return config


ADAPTERS = (EtherPlus(),)
