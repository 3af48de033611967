"""The PEFT tuner of ETHER and ETHER+ (arXiv 2405.20271): features are turned by block-diagonal reflections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers.pytorch_utils import Conv1D

from trainables.tuners.additive import TransformedLayer
from trainables.tuners.base import LinearConfig, LinearTuner, tuner
from trainables.tuners.low_rank import LowRankLayer, diagonal

REFLECTION, RELAXED = (-2.0,), (-1.0, 1.0)
"""H − I as a sum of multiples of û ûᵀ: −2 û ûᵀ, or −û ûᵀ + v̂ v̂ᵀ."""


@dataclass
class EtherConfig(LinearConfig):
    """W H, H W or H W H′ with block-diagonal H and H′ of reflections, or of relaxed ones if `relaxed`."""

    side: Literal["input", "output", "both"] = field(default="input", metadata={"help": "Features that are turned."})
    blocks: int = field(default=1, metadata={"help": "Reflections on the diagonal; divides the sides they act on."})
    relaxed: bool = field(default=False, metadata={"help": "I − û ûᵀ + v̂ v̂ᵀ in place of I − 2 û ûᵀ."})


class EtherLayer(TransformedLayer, LowRankLayer):
    """A linear layer with vectors of (1 or 2, in, out or in + out), the input's first. The bias does not change."""

    adapter_layer_names = ("ether_vectors",)
    other_param_names = ("ether_config",)

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        self.ether_vectors = nn.ParameterDict()
        self.ether_config: dict[str, EtherConfig] = {}

    def update_layer(self, adapter_name: str, config: EtherConfig, **kwargs: Any) -> None:
        """Add an adapter with u drawn uniformly, on the CPU, and v = −u.

        Raises:
            ValueError: when the blocks do not divide a side.
        """
        widths = self._widths(config)
        for width in widths:
            if width % config.blocks:
                raise ValueError(f"blocks = {config.blocks}: does not divide {width} features")
        bounds = torch.cat([torch.full((width,), (config.blocks / width) ** 0.5) for width in widths])
        u = (2 * torch.rand(len(bounds)) - 1) * bounds
        vectors = torch.stack([u, -u] if config.relaxed else [u])
        self.ether_vectors[adapter_name] = nn.Parameter(vectors.to(self.base_layer.weight.device))
        self.ether_config[adapter_name] = config
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def output(self, adapter_name: str, x: Tensor) -> Tensor:
        """Reflect the activations, never the weight."""
        into, out = self._units(adapter_name)
        if into is not None:
            x = x + _turn(x, into).to(x.dtype)
        result: Tensor = self.base_layer(x)
        if out is None:
            return result
        bias = self.base_layer.bias
        return result + _turn(result if bias is None else result - bias, out).to(result.dtype)

    def factors(self, adapter: str) -> tuple[Tensor, Tensor]:
        """Return the factors of ΔW, of rank `blocks` for each side, and twice that when relaxed."""
        weight = self.pretrained("weight").detach().float()
        weight = weight.T if self.transposed else weight
        into, out = self._units(adapter)
        a, b = [], []
        if into is not None:
            rows, scales = _rows(into)
            a, b = [rows], [weight @ rows.T * scales]
            weight = weight + b[0] @ rows
        if out is not None:
            rows, scales = _rows(out)
            a, b = [*a, rows @ weight], [*b, rows.T * scales]
        return torch.cat(a), torch.cat(b, dim=1)

    def _widths(self, config: EtherConfig) -> list[int]:
        """Return the lengths of the vectors, the input's first."""
        kept = {"input": self.in_features, "output": self.out_features}
        return [width for side, width in kept.items() if config.side in (side, "both")]

    def _units(self, adapter: str) -> tuple[Tensor | None, Tensor | None]:
        """Return the unit vectors of the input and of the output, each (vectors, blocks, width of a block), or None."""
        config, vectors = self.ether_config[adapter], self.ether_vectors[adapter]
        parts = iter(vectors.split(self._widths(config), dim=1))
        return tuple(  # type: ignore[return-value]
            normalize(next(parts).unflatten(1, (config.blocks, -1)), dim=-1) if config.side in (side, "both") else None
            for side in ("input", "output")
        )


def _scales(units: Tensor) -> tuple[float, ...]:
    return RELAXED if len(units) == 2 else REFLECTION


def _turn(x: Tensor, units: Tensor) -> Tensor:
    """Return (H − I) x for x of shape (…, width)."""
    parts = x.reshape(*x.shape[:-1], *units.shape[1:])
    turned = torch.zeros_like(parts, dtype=units.dtype)
    for unit, scale in zip(units, _scales(units), strict=True):
        turned = turned + scale * (parts * unit).sum(-1, keepdim=True) * unit
    return turned.flatten(-2)


def _rows(units: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors of H − I = rowsᵀ D rows.

    Returns:
        The unit vectors in their places, shape (vectors · blocks, width), and the diagonal of D.
    """
    rows = torch.cat([diagonal(unit.unsqueeze(1)) for unit in units.detach().float()])
    return rows, torch.tensor(_scales(units), device=rows.device).repeat_interleave(units.shape[1])


@tuner("ether", EtherConfig)
class EtherModel(LinearTuner):
    """The tuner of ETHER and ETHER+; PyTorch's generator draws the vectors."""

    prefix = "ether_"
    tuner_layer_cls = EtherLayer
