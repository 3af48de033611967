"""A sparse layer whose entries are chosen anew while training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainables.tuners.sparse.layers import SparseLayer


class SubsetLayer(SparseLayer):
    """How many entries the layer has may change too; it may have none."""

    def expand(self, adapter: str) -> nn.Parameter:
        """Exchange the deltas (k,) for dense ones (entries,), zero outside the subset."""
        dense = torch.zeros(self.base_layer.weight.numel(), device=self.base_layer.weight.device)
        dense[self.places[adapter]] = self.deltas[adapter].detach()
        self.expanded.add(adapter)
        return self._exchange(adapter, dense)

    def contract(self, adapter: str, places: Tensor) -> nn.Parameter:
        """Keep the dense deltas at `places` (k,), int32; all others are 0 from now on: their entries are as pretrained.

        Together with the choice of the farthest entries this is the exact projection.
        """
        dense = self.deltas[adapter].detach()
        self.places[adapter] = places
        self.expanded.discard(adapter)
        return self._exchange(adapter, dense[places])

    def resize(self, adapter: str, count: int) -> None:
        """Make room for `count` entries, which are to be loaded."""
        places, deltas = self.places[adapter], self.deltas[adapter]
        if len(places) != count:
            self.places[adapter] = places.new_zeros(count)
            deltas.data = deltas.new_zeros(count)

    def pretrained(self) -> Tensor:
        """The pretrained values (entries,), until the next forward."""
        self._restore()
        return self.base_layer.weight.detach().flatten()

    def _exchange(self, adapter: str, values: Tensor) -> nn.Parameter:
        parameter = nn.Parameter(values)
        self.deltas[adapter] = parameter
        return parameter

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """A saved adapter has as many entries here as training left."""
        for adapter in self.deltas:
            saved = state_dict.get(f"{prefix}{self.other_param_names[0]}.{adapter}")
            if saved is not None:
                self.resize(adapter, len(saved))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
