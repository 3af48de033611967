"""What SURM's families (arXiv 2406.17740) share as PEFT tuners; each is a module beside."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import torch
from peft import PeftConfig, PeftModel
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from spaces.inventory import Inventory
from spaces.methods.surm import Grid, Placement, Shape, SurmConfiguration, grid, surm_layers
from trainables.houlsby import PlacedLayer
from trainables.methods.base import Adapter, NoStockForm, StockForm
from trainables.structured.blocks import join
from trainables.tuners import LinearConfig, LinearTuner

Kernels = tuple[Tensor, ...]


@dataclass
class SurmConfig(LinearConfig):
    """ΔW from two factors; each family adds its own settings."""

    placement: Placement = field(
        default="lora", metadata={"help": "Beside the weight, lora, or behind it, adapter: X + GELU(ΔW X) + b."}
    )
    block_size: int | str = field(default="whole", metadata={"help": "Order of the blocks of ΔW; whole: one matrix."})
    alpha: float = field(default=1.0, metadata={"help": "Scale of the update."})
    trainable_alpha: bool = field(default=False, metadata={"help": "Multiply by a trained scalar, 0 at the start."})
    dropout: float = field(default=0.0, metadata={"help": "Dropout on the input of the update."})
    seed: int = field(default=0, metadata={"help": "Seed of the random factors."})


class SurmLayer(PlacedLayer):
    """A linear layer with ΔW = α · s · (first, second): what the factors make is the family's.

    Parameters of an adapter, each under the family's prefix: `first` and `second` of shape (p, q, …), a factor for
    each of p × q blocks; `scale`, s, of shape (1,) where it is trained; `bias` of shape (out,) behind the weight.
    """

    prefix: ClassVar[str]
    spread: ClassVar[float]
    ships_product: ClassVar[bool] = False
    other_param_names = ("surm_settings", "surm_dropout")

    def __init__(self, base_layer: nn.Linear | Conv1D, adapter_name: str) -> None:
        super().__init__(base_layer, adapter_name)
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ParameterDict())
        self.surm_settings: dict[str, Any] = {}
        self.surm_dropout = nn.ModuleDict()

    @abstractmethod
    def factor_shapes(self, config: Any, block: Grid) -> tuple[Shape, Shape]:
        """Shapes of the factors of one block."""

    @abstractmethod
    def matvec(self, kernels: Kernels, x: Tensor, block: Grid) -> Tensor:
        """The product of a single block, given without the dimensions of the grid, with x, shape (…, width)."""

    @abstractmethod
    def matrices(self, kernels: Kernels, block: Grid) -> Tensor:
        """The blocks as matrices, shape (p, q, height, width)."""

    def grid_matvec(self, kernels: Kernels, x: Tensor, block: Grid) -> Tensor:
        """The product of a grid of blocks with x; by its matrix, which one product reads at the cost of the layer's."""
        return linear(x.float(), join(self.matrices(kernels, block)))

    def part(self, name: str) -> nn.ParameterDict:
        """One kind of parameter by adapter."""
        parameters: nn.ParameterDict = getattr(self, f"{self.prefix}{name}")
        return parameters

    def update_layer(self, adapter_name: str, config: Any, **kwargs: Any) -> None:
        """Add an adapter: first = 0 and a normal second, or both normal where s = 0; drawn on the CPU.

        The generator of all layers is `kwargs["generator"]`.
        """
        self.surm_settings[adapter_name] = config
        self.surm_dropout[adapter_name] = nn.Dropout(config.dropout)
        made = self.grid(adapter_name)
        first, second = (
            (made.down, made.across, *shape) for shape in self.factor_shapes(self.surm_settings[adapter_name], made)
        )
        spread, generator = self.spread_of(config), kwargs["generator"]
        values = {"second": spread * torch.randn(second, generator=generator), "first": torch.zeros(first)}
        if config.trainable_alpha:
            values |= {"first": spread * torch.randn(first, generator=generator), "scale": torch.zeros(1)}
        if config.placement == "adapter":
            values["bias"] = torch.zeros(self.out_features)
        for name, value in values.items():
            self.part(name)[adapter_name] = nn.Parameter(value.to(self.base_layer.weight.device))
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def spread_of(self, config: Any) -> float:
        """Standard deviation of what is random at the start."""
        return self.spread

    def placement(self, adapter_name: str) -> Placement:
        """Where the update of an adapter stands."""
        placement: Placement = self.surm_settings[adapter_name].placement
        return placement

    def bias(self, adapter_name: str) -> Tensor:
        """b of an adapter behind the weight, shape (out,)."""
        bias: Tensor = self.part("bias")[adapter_name]
        return bias

    def grid(self, adapter_name: str) -> Grid:
        """The blocks of ΔW."""
        return grid(self.surm_settings[adapter_name].block_size, *self.update_shape(adapter_name))

    def kernels(self, adapter_name: str) -> Kernels:
        """The scaled factors, or their product where that is all there is to them."""
        first, second = self.part("first")[adapter_name], self.part("second")[adapter_name]
        if adapter_name in (scale := self.part("scale")):
            first = first * scale[adapter_name]
        alpha = self.surm_settings[adapter_name].alpha
        return (first * second * alpha,) if self.ships_product else (first * alpha, second)

    def update(self, adapter_name: str, x: Tensor) -> Tensor:
        """ΔW x, shape (…, rows)."""
        kernels, made = self.kernels(adapter_name), self.grid(adapter_name)
        x = self.surm_dropout[adapter_name](x)
        if made.down == made.across == 1:
            return self.matvec(tuple(one[0, 0] for one in kernels), x, made)
        return self.grid_matvec(kernels, x, made)

    @torch.no_grad()
    def get_delta_weight(self, adapter: str) -> Tensor:
        """ΔW, float32, shaped like the stored weight; of an adapter behind the weight, square."""
        kernels = tuple(one.float() for one in self.kernels(adapter))
        delta = join(self.matrices(kernels, self.grid(adapter)))
        return delta.T if self.transposed and self.placement(adapter) == "lora" else delta


class SurmModel(LinearTuner):
    """Ships s, and r₂ where a product is all that there is, within the first factor: without them they are ones."""

    tuner_layer_cls: type[SurmLayer]

    def _prepare_model(self, peft_config: SurmConfig, model: nn.Module) -> None:
        self._generator = torch.Generator().manual_seed(peft_config.seed)

    def layer_arguments(self, name: str) -> dict[str, Any] | None:
        """One generator for all layers, in the model's order."""
        return {"generator": self._generator}

    def _check_merge_allowed(self) -> None:
        super()._check_merge_allowed()
        for layer in self.model.modules():
            if isinstance(layer, PlacedLayer):
                layer.check_mergeable()

    @classmethod
    def _folded(cls, config: SurmConfig) -> list[str]:
        """Names of the parameters that are shipped within the first factor, in the order of their products."""
        scale = ["scale"] if config.trainable_alpha else []
        second = ["second"] if cls.tuner_layer_cls.ships_product else []
        return [f".{cls.prefix}{name}." for name in scale + second]

    @classmethod
    def _get_adapter_state_dict(cls, *args: Any, config: SurmConfig, **kwargs: Any) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._get_adapter_state_dict(*args, config=config, **kwargs)
        first, folded = f".{cls.prefix}first.", cls._folded(config)
        shipped = {}
        for name, tensor in state.items():
            if first in name:
                for other in folded:
                    tensor = tensor * state[name.replace(first, other)]
            if not any(other in name for other in folded):
                shipped[name] = tensor
        return shipped

    @classmethod
    def _remap_adapter_state_dict_for_load(cls, *args: Any, config: SurmConfig, **kwargs: Any) -> dict[str, Tensor]:
        state: dict[str, Tensor] = super()._remap_adapter_state_dict_for_load(*args, config=config, **kwargs)
        first = f".{cls.prefix}first."
        ones = {
            name.replace(first, other): tensor.new_ones(tensor.shape if "second" in other else 1)
            for name, tensor in state.items()
            if first in name
            for other in cls._folded(config)
        }
        return {**state, **ones}


C = TypeVar("C", bound=SurmConfiguration)


class SurmAdapter(Adapter[C]):
    """Makes the config of a family from a configuration that names its settings alike."""

    config: ClassVar[type[SurmConfig]]

    def peft_config(self, configuration: C, inventory: Inventory, seed: int) -> PeftConfig:
        """The random factors follow the training's seed."""
        placed = {"targets", "layers", "learning_rate"}
        return self.config(
            target_modules=[layer.name for layer in surm_layers(configuration, inventory)],
            seed=seed,
            **configuration.model_dump(exclude=placed),
        )

    def stock(self, model: PeftModel, configuration: C) -> StockForm:
        """The trained adapter in the form of a tuner of PEFT's.

        Raises:
            NoStockForm: where there is none, naming the layer or the setting.
        """
        if configuration.placement == "adapter":
            raise NoStockForm("placement = adapter: PEFT has no equal form; allowed: placement = lora")
        adapter = model.active_adapter
        layers = dict(adapted_layers(model))
        for name, layer in layers.items():
            if layer.transposed:
                raise NoStockForm(f"{name}: PEFT's form takes Linear layers alone, and this is a Conv1D")
        config, tensors = self.stock_form(layers, adapter)
        own = model.peft_config[adapter]
        config.target_modules = set(layers)
        config.task_type, config.modules_to_save = own.task_type, own.modules_to_save
        config.base_model_name_or_path, config.inference_mode = own.base_model_name_or_path, own.inference_mode
        return StockForm(config, {f"base_model.model.{name}": tensor for name, tensor in tensors.items()})

    def stock_form(self, layers: dict[str, SurmLayer], adapter: str) -> tuple[PeftConfig, dict[str, Tensor]]:
        """PEFT's config and tensors, by the name of their layer and their own, for updates beside Linear layers.

        Raises:
            NoStockForm: where there is none, naming the layer or the setting.
        """
        raise NoStockForm(f"{self.name}: PEFT has no equal form of {next(iter(layers))}")


def adapted_layers(model: PeftModel) -> Iterator[tuple[str, SurmLayer]]:
    """The layers of the active adapter by their names in the base."""
    for name, module in model.base_model.model.named_modules():
        if isinstance(module, SurmLayer) and model.active_adapter in module.part("first"):
            yield name, module
