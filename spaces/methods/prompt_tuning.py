"""Prompt tuning (arXiv 2104.08691): trained embeddings before those of the text, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods._virtual_tokens import VirtualTokens, VirtualTokensConfiguration
from spaces.methods.base.method import Unfit
from spaces.model.inventory import Inventory, TextInput


class PromptTuningConfiguration(VirtualTokensConfiguration):
    """Embeddings before those of the text, at the start copies of tokens that the training's seed draws."""

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the prompt.")


class PromptTuning(VirtualTokens[PromptTuningConfiguration]):
    """The learning-rate prior is by analogy with LoRA's: the paper's 0.3 is Adafactor's."""

    name = "prompt-tuning"
    summary = "trained embeddings before the text"
    source = "arXiv 2104.08691; PEFT"
    configuration = PromptTuningConfiguration

    def width(self, inventory: Inventory, text: TextInput) -> int:
        if inventory.saves_embedding:
            reason = "PEFT reads the token embeddings of the base, not those that model.modules_to_save trains"
            raise Unfit(f"{self.name}: {reason}", smallest=0)
        return text.width

    def obstacle(self, text: TextInput) -> str | None:
        if text.takes_embeddings:
            return None
        return "from embeddings in the place of ids it cannot tell where the text ends, or does not take them"


METHODS = (PromptTuning(),)
