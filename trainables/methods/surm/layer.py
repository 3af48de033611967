"""A linear layer whose update is made of two factors: the base of SURM's families (arXiv 2406.17740)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from spaces.methods._surm import Placement
from spaces.methods.base.block_grid import Grid, Shape, grid
from trainables.methods.surm.placement import PlacedLayer
from trainables.tuners.base import LinearConfig
from trainables.tuners.structured.common import at_least_float32, join
from trainables.tuners.structured.fused_update import ComposedProduct, Gather

Kernels = tuple[Tensor, ...]

PARTS = ("first", "second", "scale", "bias")
"""The parameters of an adapter; a layer has each in a dictionary of this name after the family's prefix."""

TOKENS_PER_SIDE = 2
"""With at least this many tokens for each row or column of W, it is cheaper to compute W + ΔW and multiply once."""


@dataclass
class SurmConfig(LinearConfig):
    """Settings of all families: ΔW is made of two factors."""

    placement: Placement = field(
        default="lora", metadata={"help": "Beside the weight, lora, or behind it, adapter: X + GELU(ΔW X) + b."}
    )
    block_size: int | str = field(default="whole", metadata={"help": "Order of the blocks of ΔW; whole: one matrix."})
    alpha: float = field(default=1.0, metadata={"help": "Scale of the update."})
    trainable_alpha: bool = field(default=False, metadata={"help": "Multiply by a trained scalar, 0 at the start."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the input of the update."})
    seed: int = field(default=0, metadata={"help": "Seed of the random factors."})


class SurmLayer(PlacedLayer):
    """A linear layer with ΔW = α · s · f(first, second), where f is the family's.

    Parameters of an adapter, each under the family's prefix: `first` and `second` of shape (p, q, …), a factor for each
    of p × q blocks; `scale`, s, of shape (1,), if it is trained; `bias` of shape (out,), if the update is behind the
    weight.
    """

    prefix: ClassVar[str]
    spread: ClassVar[float]
    ships_product: ClassVar[bool] = False
    other_param_names = ("surm_settings", "surm_dropout")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.adapter_layer_names = tuple(f"{cls.prefix}{part}" for part in PARTS)

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ParameterDict())
        self.surm_settings: dict[str, Any] = {}
        self.surm_dropout = nn.ModuleDict()

    @abstractmethod
    def factor_shapes(self, config: Any, block: Grid) -> tuple[Shape, Shape]:
        """Return the shapes of the factors of one block."""

    @abstractmethod
    def matvec(self, kernels: Kernels, x: Tensor, block: Grid) -> Tensor:
        """Return the product of a single block with x, shape (…, width). The kernels come without the grid's
        dimensions.
        """

    @abstractmethod
    def matrices(self, kernels: Kernels, block: Grid) -> Tensor:
        """Return the blocks as matrices, shape (p, q, height, width)."""

    def grid_matvec(self, kernels: Kernels, x: Tensor, block: Grid) -> Tensor:
        """Return the product of x with a grid of blocks, by its matrix: one product, at the cost of the layer's.

        By factors there would be as many inner vectors for every token as there are blocks in a column.
        """
        return linear(at_least_float32(x), join(self.matrices(kernels, block)))

    def composed(self, kernels: Kernels, block: Grid) -> Tensor:
        """Return ΔW as a differentiable matrix, in the cheapest way; by default from the blocks' own matrices."""
        return join(self.matrices(kernels, block))

    def gather(self, kernels: Kernels, block: Grid) -> Gather | None:
        """Return a function for the gradients of the kernels without that of ΔW; None when it would not cost less."""
        return None

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply the layer to x of shape (…, in)."""
        name = self._composable(x)
        if name is None or args or kwargs:
            return super().forward(x, *args, **kwargs)
        made, kernels = self.grid(name), self.kernels(name)
        compose = partial(self._compose, made)
        gather = self.gather(kernels, made)
        base = self.base_layer
        result: Tensor = ComposedProduct.apply(x, base.weight, base.bias, compose, gather, *kernels)  # type: ignore[no-untyped-call]
        return result

    def _compose(self, block: Grid, *kernels: Tensor) -> Tensor:
        return self.composed(kernels, block)

    def _composable(self, x: Tensor) -> str | None:
        """Return the adapter to add to the weight before the product with x, when that costs less; else None."""
        names = self.active(self._parameters_by_adapter())
        if self.disable_adapters or self.merged or len(names) != 1 or type(self.base_layer) is not nn.Linear:
            return None
        (name,) = names
        frozen = not any(parameter.requires_grad for parameter in self.base_layer.parameters())
        exact = x.dtype == self.base_layer.weight.dtype == torch.promote_types(x.dtype, torch.float32)
        dropped = self.training and self.surm_settings[name].dropout > 0
        many = x.numel() // x.shape[-1] >= TOKENS_PER_SIDE * max(self.out_features, self.in_features)
        cast = torch.is_autocast_enabled(x.device.type)
        beside = self.placement(name) == "lora"
        return name if beside and frozen and exact and many and not dropped and not cast else None

    def part(self, name: str) -> nn.ParameterDict:
        """Return one kind of parameter, by adapter."""
        parameters: nn.ParameterDict = getattr(self, f"{self.prefix}{name}")
        return parameters

    def update_layer(self, adapter_name: str, config: Any, **kwargs: Any) -> None:
        """Add an adapter with first = 0 and a normal second, or with both normal if s = 0.

        Args:
            adapter_name: its name.
            config: its settings.
            kwargs: the `generator` of all layers, which draws on the CPU.
        """
        self.surm_settings[adapter_name] = config
        self.surm_dropout[adapter_name] = nn.Dropout(config.dropout)
        made = self.grid(adapter_name)
        first, second = (
            (made.down, made.across, *shape) for shape in self.factor_shapes(self.surm_settings[adapter_name], made)
        )

        def drawn(shape: Sequence[int]) -> Tensor:
            return self.spread_of(config, shape) * torch.randn(shape, generator=kwargs["generator"])

        values = {"second": drawn(second), "first": torch.zeros(first)}
        if config.trainable_alpha:
            values |= {"first": drawn(first), "scale": torch.zeros(1)}
        if config.placement == "adapter":
            values["bias"] = torch.zeros(self.out_features)
        for name, value in values.items():
            self.part(name)[adapter_name] = nn.Parameter(value.to(self.base_layer.weight.device))
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def spread_of(self, config: Any, shape: Sequence[int]) -> float:
        """Return the standard deviation of a random factor of this shape at the start."""
        return self.spread

    def placement(self, adapter_name: str) -> Placement:
        """Return the placement of an adapter's update: beside the weight or behind it."""
        placement: Placement = self.surm_settings[adapter_name].placement
        return placement

    def bias(self, adapter_name: str) -> Tensor:
        """Return b of an adapter behind the weight, shape (out,)."""
        bias: Tensor = self.part("bias")[adapter_name]
        return bias

    def grid(self, adapter_name: str) -> Grid:
        """Return the grid of the blocks of ΔW."""
        return grid(self.surm_settings[adapter_name].block_size, *self.update_shape(adapter_name))

    def kernels(self, adapter_name: str) -> Kernels:
        """Return the scaled factors, or only their product if the family needs no more."""
        first, second = self.part("first")[adapter_name], self.part("second")[adapter_name]
        if adapter_name in (scale := self.part("scale")):
            first = first * scale[adapter_name]
        alpha = self.surm_settings[adapter_name].alpha
        return (first * second * alpha,) if self.ships_product else (first * alpha, second)

    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """Return ΔW x, shape (…, rows). Autocast is off, because it would round the factors' products."""
        kernels, made = self.kernels(adapter_name), self.grid(adapter_name)
        x = self.surm_dropout[adapter_name](x)
        with torch.autocast(x.device.type, enabled=False):
            if made.down == made.across == 1:
                return self.matvec(tuple(one[0, 0] for one in kernels), x, made)
            return self.grid_matvec(kernels, x, made)

    @torch.no_grad()
    def get_delta_weight(self, adapter: str) -> Tensor:
        """Return ΔW, float32, in the shape of the stored weight; square for an adapter behind the weight."""
        kernels = tuple(one.float() for one in self.kernels(adapter))
        delta = join(self.matrices(kernels, self.grid(adapter)))
        return delta.T if self.transposed and self.placement(adapter) == "lora" else delta
