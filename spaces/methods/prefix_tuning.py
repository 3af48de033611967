"""Prefix tuning (arXiv 2101.00190): trained keys and values before those of the text in every block, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods._virtual_tokens import VirtualTokens, VirtualTokensConfiguration
from spaces.methods.base.method import Unfit
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
    """Return the features of the keys of one block, of all heads together.

    Raises:
        Unfit: when neither a layer nor the model's config says how many there are.
    """
    key = next((one.out_features for one in inventory.layers if one.kind == "key"), 0)
    features = key or (inventory.text.key_features if inventory.text is not None else 0)
    if not features:
        raise Unfit(f"prefix-tuning: the keys of {inventory.model_type} are not known", smallest=0)
    return features


METHODS = (PrefixTuning(),)
