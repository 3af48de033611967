"""Sparse deltas as an adapter of PEFT's own: Supertuning, which adds values to chosen entries of a weight."""

from __future__ import annotations

import torch
from peft import PeftModel, SupertuningConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from trainables.tuners.adapter import NoStockForm, StockForm

_PREFIX = "base_model.model."
_STEP = 2.0**-53  # the distance of neighbouring floats just below 1


def sparse_stock(model: PeftModel, method: str) -> StockForm:
    """Return the sparse deltas of the active adapter as a Supertuning adapter (arXiv 2607.09287).

    PEFT's other sparse tuner, SHiRA, holds r (m + n) entries of an m × n weight, so at least m + n. Supertuning has one
    density for all weights: those with fewer entries are padded with zeros at unused places. A weight without entries
    is left out.

    Raises:
        NoStockForm: naming a layer that is no `nn.Linear`, the only kind that PEFT's sparse tuners adapt, or that has
            entries outside its weight.
    """
    adapter = model.active_adapter
    entries: dict[str, tuple[Tensor, Tensor]] = {}
    sizes: dict[str, int] = {}
    for name, layer in model.named_modules():
        if not isinstance(layer, BaseTunerLayer) or adapter not in getattr(layer, "deltas", ()):
            continue
        path, inner = name.removeprefix(_PREFIX), layer.get_base_layer()
        if not isinstance(inner, nn.Linear):
            kind = type(inner).__name__
            raise NoStockForm(f"{method}: {path} is a {kind}; PEFT's sparse adapters take nn.Linear alone")
        places, deltas = layer.entries(adapter)
        if len(places) and int(places.max()) >= inner.weight.numel():
            raise NoStockForm(f"{method}: {path} has entries in its bias; PEFT's sparse adapters take weights alone")
        if len(places):
            entries[path], sizes[path] = (places.cpu(), deltas.cpu()), inner.weight.numel()
    if not entries:
        raise NoStockForm(f"{method}: no entry is trained")
    sparsity = common_sparsity({path: len(places) for path, (places, _) in entries.items()}, sizes)
    tensors: dict[str, Tensor] = {}
    for path, (places, deltas) in entries.items():
        padding = room(sparsity, sizes[path]) - len(places)
        unused = torch.ones(sizes[path], dtype=torch.bool)
        unused[places] = False
        padded = torch.cat([places.int(), unused.nonzero().squeeze(1)[:padding].int()])
        tensors[f"{_PREFIX}{path}.supertuning_indices"] = padded
        tensors[f"{_PREFIX}{path}.supertuning_values"] = torch.cat([deltas, torch.zeros(padding)])
    return StockForm(SupertuningConfig(target_modules=list(entries), sparsity=sparsity), tensors)


def room(sparsity: float, size: int) -> int:
    """Return the number of entries that PEFT gives a weight of `size` entries."""
    return int(size * (1 - sparsity))


def common_sparsity(counts: dict[str, int], sizes: dict[str, int]) -> float:
    """Return the highest sparsity, up to rounding, at which every weight has room for its count."""
    sparsity = 1 - max(count / sizes[path] for path, count in counts.items())
    while any(room(sparsity, sizes[path]) < count for path, count in counts.items()):
        sparsity = max(0.0, sparsity - _STEP)
    return sparsity
