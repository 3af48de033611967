"""Linear layers and embeddings with trained deltas at some entries of their parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from trainables.tuners.base import AdaptedLinear
from trainables.tuners.sparse.autograd import SparseLookup, SparseProduct
from trainables.tuners.sparse.module import SparseModule, Tied


class SparseLayer(SparseModule, AdaptedLinear):
    """A linear layer with deltas. No dense gradient of its weight outlives the backward pass."""

    base_layer: nn.Linear | Conv1D

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str, tied: Tied | None = None) -> None:
        AdaptedLinear.__init__(self, base_layer, adapter_name)
        self._start(tied or {})

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply the layer to x of shape (…, in)."""
        pieces = self.pieces()
        if not pieces:
            unchanged: Tensor = self.base_layer(x, *args, **kwargs)
            return unchanged
        names, entries, deltas = zip(*pieces, strict=True)
        product: Tensor = SparseProduct.apply(x, self.base_layer, self.transposed, names, entries, *deltas)  # type: ignore[no-untyped-call]
        return product

    def get_delta_weight(self, adapter: str) -> Tensor:
        """Return Δ of an adapter, float32, in the shape of the stored weight."""
        weight = self.base_layer.weight
        places, deltas = self.entries(adapter)
        dense = torch.zeros(weight.numel(), device=weight.device)
        inside = places < weight.numel()
        dense[places[inside]] = deltas[inside]
        return dense.view(weight.shape)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """Return whether Δ changes only W, so that PEFT's `convert_to_lora` can truncate it to a rank."""
        if adapter_name not in self.deltas:
            return False
        places, _ = self.entries(adapter_name)
        return bool((places < self.base_layer.weight.numel()).all())


class SparseEmbedding(SparseModule):
    """An embedding with deltas. The gradient is computed only for the rows that were looked up."""

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids of any shape."""
        pieces = self.pieces()
        if not pieces:
            unchanged: Tensor = self.base_layer(ids)
            return unchanged
        _, entries, deltas = zip(*pieces, strict=True)
        found: Tensor = SparseLookup.apply(ids, self.base_layer, entries, *deltas)  # type: ignore[no-untyped-call]
        return found
