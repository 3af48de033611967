"""ETHER+ (arXiv 2405.20271)."""

from __future__ import annotations

from peft import PeftConfig, PeftModel

from spaces.methods.ether import EtherPlusConfiguration
from spaces.model.inventory import Inventory
from trainables.methods._reflections import EtherConfig
from trainables.tuners.adapter import Adapter, StockForm, target_names
from trainables.tuners.low_rank import lora_form


class EtherPlus(Adapter[EtherPlusConfiguration]):
    """Relaxed reflections I − û ûᵀ + v̂ v̂ᵀ."""

    name = "ether-plus"

    def peft_config(self, configuration: EtherPlusConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """`attach` seeds the initial values."""
        return EtherConfig(
            target_modules=target_names(configuration, inventory),
            side=configuration.side,
            blocks=configuration.blocks,
            relaxed=True,
        )

    def stock(self, model: PeftModel, configuration: EtherPlusConfiguration) -> StockForm:
        """LoRA of as many ranks as there are unit vectors in a layer."""
        return lora_form(model)


ADAPTERS = (EtherPlus(),)
