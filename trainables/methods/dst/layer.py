"""A sparse layer whose set of trained entries changes during training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainables.tuners.sparse.layers import SparseLayer


class SubsetLayer(SparseLayer):
    """A `SparseLayer` whose number of entries may change too, even to none."""

    def expand(self, adapter: str) -> nn.Parameter:
        """Replace the deltas (k,) by dense ones (entries,), which are zero outside the subset, and return these."""
        dense = torch.zeros(self.base_layer.weight.numel(), device=self.base_layer.weight.device)
        dense[self.places[adapter]] = self.deltas[adapter].detach()
        self.expanded.add(adapter)
        return self._exchange(adapter, dense)

    def contract(self, adapter: str, places: Tensor) -> nn.Parameter:
        """Keep the dense deltas at `places` (k,), int32, and return them. All other entries become pretrained again.

        Together with the choice of the farthest entries this is the exact projection.
        """
        dense = self.deltas[adapter].detach()
        self.places[adapter] = places
        self.expanded.discard(adapter)
        return self._exchange(adapter, dense[places])

    def resize(self, adapter: str, count: int) -> None:
        """Make room for `count` entries, which are loaded next."""
        places, deltas = self.places[adapter], self.deltas[adapter]
        if len(places) != count:
            self.places[adapter] = places.new_zeros(count)
            deltas.data = deltas.new_zeros(count)

    def pretrained(self) -> Tensor:
        """Return the pretrained values (entries,), valid until the next forward."""
        self._restore()
        return self.base_layer.weight.detach().flatten()

    def _exchange(self, adapter: str, values: Tensor) -> nn.Parameter:
        parameter = nn.Parameter(values)
        self.deltas[adapter] = parameter
        return parameter

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Resize first: a saved adapter has as many entries in this layer as its training left."""
        for adapter in self.deltas:
            saved = state_dict.get(f"{prefix}{self.other_param_names[0]}.{adapter}")
            if saved is not None:
                self.resize(adapter, len(saved))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
