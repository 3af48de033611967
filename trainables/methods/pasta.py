"""PASTA (arXiv 2210.04382) as a PEFT tuner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig
from torch import Tensor, nn

from spaces.methods.pasta import PastaConfiguration, blocks, tokens
from spaces.model.inventory import Inventory
from trainables.tuners.adapter import Adapter
from trainables.tuners.base import LinearConfig, tuner
from trainables.tuners.blocks import AdaptedBlock, BlockTuner, block_of
from trainables.tuners.input_ids import InputIds, reader_around


@dataclass
class PastaConfig(LinearConfig):
    """A vector for every special token, added to the input of every target, a transformer block."""

    width: int = field(default=0, metadata={"help": "Length of the vectors: the width of the blocks."})
    token_ids: list[int] = field(default_factory=list, metadata={"help": "Ids of the special tokens."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the added vectors."})


class PastaBlock(AdaptedBlock):
    """A transformer block with vectors of (tokens, width), added to the hidden states that enter it."""

    adapter_layer_names = ("pasta_vectors",)
    other_param_names = ("pasta_tokens", "pasta_dropout")

    def __init__(self, base_layer: nn.Module, adapter_name: str, ids: InputIds) -> None:
        super().__init__(base_layer, adapter_name)
        self.pasta_vectors = nn.ParameterDict()
        self.pasta_tokens: dict[str, list[int]] = {}
        self.pasta_dropout = nn.ModuleDict()
        self._ids = ids

    def update_layer(self, adapter_name: str, config: PastaConfig) -> None:
        """Add an adapter whose vectors are 0."""
        vectors = torch.zeros(len(config.token_ids), config.width, device=self.device)
        self.pasta_vectors[adapter_name] = nn.Parameter(vectors)
        self.pasta_tokens[adapter_name] = config.token_ids
        self.pasta_dropout[adapter_name] = nn.Dropout(config.dropout)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the block on hidden states of shape (batch, tokens, width)."""
        if not self.disable_adapters:
            for name in self.active_adapters:
                if name in self.pasta_vectors:
                    hidden_states = hidden_states + self.added(name).to(hidden_states.dtype)
        return self.base_layer(hidden_states, *args, **kwargs)

    def added(self, adapter_name: str) -> Tensor:
        """Return the vectors in their places, shape (batch, tokens, width)."""
        vectors, ids = self.pasta_vectors[adapter_name], self._ids().unsqueeze(-1)
        places = ids == torch.tensor(self.pasta_tokens[adapter_name], device=ids.device)
        added: Tensor = self.pasta_dropout[adapter_name](places.to(vectors.dtype) @ vectors)
        return added


@tuner("pasta", PastaConfig)
class PastaModel(BlockTuner):
    """The tuner of PASTA. It follows the token ids through the model."""

    prefix = "pasta_"
    tuner_layer_cls = PastaBlock

    def _prepare_model(self, peft_config: PastaConfig, model: nn.Module) -> None:
        if not hasattr(self, "_readers"):
            self._readers: dict[str, InputIds] = {}

    def wrap(self, target: nn.Module, adapter_name: str, name: str) -> PastaBlock:
        """Return the adapted block, which reads the ids of the module around it: encoder and decoder have their own."""
        reader = reader_around(self.model, name)
        if reader not in self._readers:
            self._readers[reader] = InputIds()
            self._readers[reader].follow(self.model.get_submodule(reader))
        return PastaBlock(target, adapter_name, self._readers[reader])

    def _unload_and_optionally_merge(self, *args: Any, **kwargs: Any) -> Any:
        unloaded = super()._unload_and_optionally_merge(*args, **kwargs)
        for ids in self._readers.values():
            ids.stop()
        return unloaded


class Pasta(Adapter[PastaConfiguration]):
    """Vectors for special tokens. PEFT's trainable tokens change only embeddings, so there is no stock form."""

    name = "pasta"

    def peft_config(self, configuration: PastaConfiguration, inventory: Inventory, seed: int) -> PeftConfig:
        """Target the chosen blocks."""
        chosen = [one for one in inventory.layers if one.block in blocks(configuration, inventory)]
        return PastaConfig(
            target_modules=list(dict.fromkeys(block_of(one.name) for one in chosen)),
            width=chosen[0].in_features,
            token_ids=list(tokens(configuration, inventory)),
            dropout=configuration.dropout,
        )


ADAPTERS = (Pasta(),)
