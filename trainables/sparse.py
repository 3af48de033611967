"""A linear layer some of whose weight entries move by trained deltas."""

from __future__ import annotations

from typing import Any, Self

import torch
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from trainables.sparse_product import SparseProduct
from trainables.tuners import AdaptedLinear
from trainables.written import Entries, WrittenWeight


class SparseLayer(AdaptedLinear):
    """W + Δ, where Δ has k entries: float32 values (k,) and their int32 places (k,) in the weight as it is stored.

    The deltas are written into the weight before the first forward after an optimizer step; there is no composed
    weight beside it. Whoever asks for the layer's state sees the pretrained values. An adapter in `expanded` has a
    dense Δ, one value for every entry.

    Subclasses name two dictionaries by adapter: the deltas in `adapter_layer_names`, the places in
    `other_param_names`.
    """

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        setattr(self, self.adapter_layer_names[0], nn.ParameterDict())
        setattr(self, self.other_param_names[0], BufferDict(persistent=True))
        self.expanded: set[str] = set()
        self._weight = WrittenWeight(base_layer)

    @property
    def deltas(self) -> nn.ParameterDict:
        """The trained values by adapter."""
        deltas: nn.ParameterDict = getattr(self, self.adapter_layer_names[0])
        return deltas

    @property
    def places(self) -> BufferDict:
        """The flat indices of the trained values by adapter."""
        return getattr(self, self.other_param_names[0])

    def update_layer(self, adapter_name: str, config: Any, **kwargs: Any) -> None:
        """Add an adapter at the flat indices `kwargs["places"]`, an int32 tensor; its deltas are 0."""
        places: Tensor = kwargs["places"].to(self.base_layer.weight.device)
        self.places[adapter_name] = places
        self.deltas[adapter_name] = nn.Parameter(torch.zeros(len(places), device=places.device))
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply the layer to x of shape (…, in)."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        names = self.write()
        trained = [name for name in names if self.deltas[name].requires_grad]
        if self.merged or not trained or not torch.is_grad_enabled():
            unchanged: Tensor = self.base_layer(x, *args, **kwargs)
            return unchanged
        places = tuple(None if name in self.expanded else self.places[name] for name in trained)
        deltas = [self.deltas[name] for name in trained]
        product: Tensor = SparseProduct.apply(x, self.base_layer, self.transposed, places, *deltas)  # type: ignore[no-untyped-call]
        return product

    def write(self) -> list[str]:
        """Make the weight hold what the layer is to compute with now; returns the adapters in it."""
        names = list(self.merged_adapters) if self.merged else self.active(self.deltas)
        if self.disable_adapters or not names:
            self._weight.restore()
            return []
        tensors = [tensor for name in names for tensor in (self.deltas[name], self.places[name])]
        self._weight.write(tensors, lambda: [self.entries(name) for name in names])
        return names

    def entries(self, name: str) -> Entries:
        """Places and deltas of an adapter, of a dense one those that are not 0."""
        delta = self.deltas[name].detach().float()
        if name not in self.expanded:
            return self.places[name], delta
        places = delta.nonzero().squeeze(1)
        return places, delta[places]

    def get_delta_weight(self, adapter: str) -> Tensor:
        """Δ of an adapter, float32, shaped like the stored weight."""
        weight = self.base_layer.weight
        places, deltas = self.entries(adapter)
        dense = torch.zeros(weight.numel(), device=weight.device)
        dense[places] = deltas
        return dense.view(weight.shape)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """Δ adds to W, so PEFT's `convert_to_lora` can cut it to a rank."""
        return True

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Keep the deltas written until `unmerge`.

        Raises:
            ValueError: when `safe_merge` finds a delta that is not finite.
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.deltas]
        for name in names:
            if safe_merge and not self.deltas[name].isfinite().all():
                raise ValueError(f"adapter {name} has deltas that are not finite")
        self.merged_adapters.extend(names)
        self.write()

    def unmerge(self) -> None:
        """Let the weight hold the pretrained values again, to the bit."""
        self.merged_adapters.clear()
        self._weight.restore()

    def enable_adapters(self, enabled: bool) -> None:
        """Switch all adapters on or off."""
        super().enable_adapters(enabled)
        self.write()

    def delete_adapter(self, adapter_name: str) -> None:
        """Forget an adapter."""
        self._weight.restore()
        self.expanded.discard(adapter_name)
        super().delete_adapter(adapter_name)

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool, adapter_names: list[str] | None
    ) -> nn.Module:
        """The plain layer, with the deltas in its weight if `merge`, else with the pretrained values to the bit."""
        if merge:
            self.merge(safe_merge, adapter_names)
        else:
            self._weight.restore()
        return self.base_layer

    # What reads, loads, moves or casts the layer meets the pretrained values; the next forward writes again.

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        if not self.merged:
            self._weight.restore()
        super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._weight.restore()
        super()._load_from_state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        self._weight.restore()
        applied: Self = super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        return applied
