"""Trainable tokens, by PEFT's own tuner, with a config that also saves the task head."""

from __future__ import annotations

from dataclasses import dataclass, field

from peft import PeftConfig, PeftModel, TrainableTokensConfig, TrainableTokensModel, get_peft_model_state_dict

from spaces.methods.trainable_tokens import TrainableTokensConfiguration, token_ids
from spaces.model.inventory import Inventory
from trainables.tuners.adapter import Adapter, StockForm
from trainables.tuners.base import tuner


@dataclass
class TokensConfig(TrainableTokensConfig):  # type: ignore[misc]
    """PEFT's config with the modules to save, without which a loaded head would be written into the base."""

    modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "Modules trained whole and saved beside the adapter: the task head."}
    )


@tuner("tokens", TokensConfig)
class TokensModel(TrainableTokensModel):  # type: ignore[misc]
    """PEFT's tuner under a prefix of its own: PEFT knows a method's parameters by a prefix that no other has."""

    prefix = "trainable_tokens_delta"


class TrainableTokens(Adapter[TrainableTokensConfiguration]):
    """Rows of the token embeddings."""

    name = "trainable-tokens"

    def peft_config(self, configuration: TrainableTokensConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Target the token embeddings by their full name."""
        assert inventory.text is not None
        return TokensConfig(
            target_modules=[inventory.text.embedding], token_indices=token_ids(configuration, inventory.text)
        )

    def stock(self, model: PeftModel, configuration: TrainableTokensConfiguration) -> StockForm:
        """Return the same rows under PEFT's own config."""
        config = model.peft_config[model.active_adapter]
        stock = TrainableTokensConfig(target_modules=config.target_modules, token_indices=config.token_indices)
        stock.task_type = config.task_type
        state = get_peft_model_state_dict(model, save_embedding_layers=False)
        return StockForm(stock, {name: tensor for name, tensor in state.items() if "trainable_tokens_delta" in name})


ADAPTERS = (TrainableTokens(),)
