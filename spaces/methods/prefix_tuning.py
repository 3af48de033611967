"""Prefix tuning (arXiv 2101.00190): trained keys and values before those of the text in every block, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods._virtual_tokens import VirtualTokens, VirtualTokensConfiguration
from spaces.model.inventory import Inventory, TextInput


class PrefixTuningConfiguration(VirtualTokensConfiguration):
    """Keys and values before those of the text in every block, at the start normally distributed."""

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the keys and values.")


class PrefixTuning(VirtualTokens[PrefixTuningConfiguration]):
    """The learning-rate prior is by analogy with LoRA's."""

    name = "prefix-tuning"
    summary = "trained keys and values before the text's in every block"
    source = "arXiv 2101.00190; PEFT"
    configuration = PrefixTuningConfiguration

    def width(self, inventory: Inventory, text: TextInput) -> int:
        return 2 * inventory.blocks * key_features(inventory)

    def obstacle(self, text: TextInput) -> str | None:
        return None if text.takes_cache else "its forward takes no keys and values computed before"


def key_features(inventory: Inventory) -> int:
    """Return the features of the keys of one block, of all heads together."""
    key = next(one for one in inventory.layers if one.kind in {"key", "query_key_value"})
    return key.out_features if key.kind == "key" else key.out_features // 3


METHODS = (PrefixTuning(),)
