"""SURM (arXiv 2406.17740): structured updates of unrestricted rank, shared by the families surm_*."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator

from spaces.methods.base.block_grid import BlockSize, Grid, Shape, divisors, grid
from spaces.methods.base.method import (
    Method,
    PlacedConfiguration,
    Unfit,
    check_layers,
    check_targets,
    layerwise,
    placed_layers,
)
from spaces.model.budget import Count
from spaces.model.inventory import Inventory, LinearLayer, TargetChoice, Targets, select

Placement = Literal["lora", "adapter"]

_HOULSBY: dict[str, Targets] = {"qv": "all", "qkv": "all", "vo": "attention"}


class SurmConfiguration(PlacedConfiguration):
    """ΔW has two factors, of which the first is 0 and the second random at the start.

    For a weight of m × n, ΔW is the upper left part of a structured matrix of order N = max(m, n), or with `block_size`
    b a grid of structured b × b matrices. With `placement: adapter` it is square and has the place of Houlsby's
    adapters (arXiv 1902.00751), after the outputs of attention and feed-forward: Y = X + GELU(ΔW X) + b with b = 0 at
    the start. `targets` then chooses between the two places: attention (vo, attention), mlp, or both (all others).
    """

    targets: TargetChoice = Field(
        default="qkv",
        description="Kinds of linear layers to adapt (the paper's: qkv); or {names: [NAME, …]} or {regex: PATTERN}, "
        "as PEFT's target_modules.",
    )
    placement: Placement = Field(
        default="lora",
        description="Beside the targets' weights (lora), or behind the outputs of attention and of mlp (adapter).",
    )
    block_size: BlockSize = Field(
        default="whole",
        description="Order of the square blocks that make up the update, a divisor of both sides; whole: one matrix.",
    )
    alpha: float = Field(default=1.0, gt=0, description="Scale of the update.")
    trainable_alpha: bool = Field(
        default=False,
        description="Multiply the update by a trained scalar, 0 at the start; then both factors are random.",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the input of the update.")

    @model_validator(mode="before")
    @classmethod
    def _name_houlsbys_places(cls, values: Any) -> Any:
        """Give equal places one name, so that equal trainings have equal settings."""
        if isinstance(values, dict) and values.get("placement") == "adapter":
            targets = values.get("targets", "qkv")
            return {**values, "targets": _HOULSBY.get(str(targets), targets)}
        return values


C = TypeVar("C", bound=SurmConfiguration)


def update_shape(placement: Placement, out_features: int, in_features: int) -> tuple[int, int]:
    """Return the rows and columns of ΔW."""
    return (out_features, in_features if placement == "lora" else out_features)


def surm_layers(configuration: SurmConfiguration, inventory: Inventory) -> tuple[LinearLayer, ...]:
    """Return the layers that have an update, beside the weight or after the output.

    Raises:
        Unfit: when the model has none of them.
    """
    if configuration.placement == "lora":
        return placed_layers(configuration, inventory)
    check_layers(configuration.layers, inventory)
    check_targets(configuration.targets, inventory)
    one = configuration.layers == "one"
    chosen = select(inventory, configuration.targets, "all" if one else configuration.layers)
    behind = tuple(layer for layer in chosen if layer.kind in {"output", "down"})
    if not behind:
        raise Unfit(
            f"placement = adapter, targets = {configuration.targets}: {inventory.model_type} has no matching output",
            smallest=0,
        )
    return behind[-1:] if one else behind


class Structured(Method[C]):
    """Trains two factors for every block. `size_knob` sets its size; below its smallest value the place does.

    Attributes:
        ships_product: an adapter ships only the elementwise product of the factors.
    """

    source = "arXiv 2406.17740"
    usual = True
    size_knob = "block_size"
    ships_product: ClassVar[bool] = False

    @abstractmethod
    def factor_shapes(self, configuration: C, block: Grid) -> tuple[Shape, Shape]:
        """Return the shapes of the two factors of one block.

        Raises:
            ValueError: when the block is too small for the configuration, with the allowed values.
        """

    @abstractmethod
    def sizes(self, configuration: C, shapes: Counter[tuple[int, int]], allowance: int) -> Iterator[C]:
        """Yield `configuration` in every size to try, the smallest included.

        Args:
            configuration: its size is replaced.
            shapes: number of updates of each shape.
            allowance: the most trainable parameters.
        """

    def count(self, configuration: C, inventory: Inventory) -> Count:
        layers = surm_layers(configuration, inventory)
        trainable: dict[LinearLayer, int] = {}
        for one in layers:
            try:
                trainable[one] = self._trainable(configuration, *_shape(configuration, one))
            except ValueError as error:
                whole = configuration.model_copy(update={"block_size": "whole"})
                raise Unfit(f"{one.name}: {error}", self._least(whole, _shapes(whole, inventory))) from None
        stored = sum(trainable.values())
        if self.ships_product:
            stored -= sum(self._second_factors(configuration, *_shape(configuration, one)) for one in layers)
        if configuration.trainable_alpha:
            stored -= len(layers)  # multiplied into the first factor before it is shipped
        return layerwise(inventory, trainable, stored=stored, adapter_bytes=4 * stored)

    def fit(self, configuration: C, inventory: Inventory, allowance: int) -> C:
        """Return the largest size at the given place, or as many of the last blocks as fit if the smallest does not."""
        return self._fit_first(self._places(configuration, inventory), inventory, allowance)

    def fit_in_place(self, configuration: C, inventory: Inventory, allowance: int) -> C:
        """Return the largest size at the given place."""
        return self._fit_first([configuration], inventory, allowance)

    def _fit_first(self, places: Sequence[C], inventory: Inventory, allowance: int) -> C:
        first = next(iter(self.sizes(places[0], _shapes(places[0], inventory), 0)))
        self.count(first, inventory)  # where the size is another knob, a given block size may divide nothing
        for place in places:
            shapes = _shapes(place, inventory)
            sized = [(self._total(one, shapes), one) for one in self.sizes(place, shapes, allowance)]
            fitting = [(size, one) for size, one in sized if size <= allowance]
            if fitting:
                return max(fitting, key=lambda one: one[0])[1]
        smallest = min(size for size, _ in sized)
        raise Unfit(f"the smallest {self.name} here trains {smallest:,} parameters", smallest=smallest)

    def _places(self, configuration: C, inventory: Inventory) -> list[C]:
        """Return the given place, then ever fewer of its last blocks, then a single weight."""
        if configuration.layers == "one":
            return [configuration]
        blocks = sorted({layer.block for layer in surm_layers(configuration, inventory)})
        fewer = [*(inventory.blocks - first for first in blocks[1:]), "one"]
        return [configuration, *(configuration.model_copy(update={"layers": layers}) for layers in fewer)]

    def _trainable(self, configuration: C, rows: int, columns: int) -> int:
        """Return the trainable parameters of one update.

        Raises:
            ValueError: when it cannot exist.
        """
        made = grid(configuration.block_size, rows, columns)
        factors = sum(math.prod(shape) for shape in self.factor_shapes(configuration, made))
        bias = rows if configuration.placement == "adapter" else 0
        return made.down * made.across * factors + bias + configuration.trainable_alpha

    def _second_factors(self, configuration: C, rows: int, columns: int) -> int:
        made = grid(configuration.block_size, rows, columns)
        return made.down * made.across * math.prod(self.factor_shapes(configuration, made)[1])

    def _total(self, configuration: C, shapes: Counter[tuple[int, int]]) -> int:
        return sum(number * self._trainable(configuration, *shape) for shape, number in shapes.items())

    def _least(self, configuration: C, shapes: Counter[tuple[int, int]]) -> int:
        return min(self._total(sized, shapes) for sized in self.sizes(configuration, shapes, 0))


def block_sizes(configuration: C, shapes: Counter[tuple[int, int]]) -> Iterator[C]:
    """Yield `configuration` with whole matrices, then with every block size that divides all `shapes`, descending.

    Blocks of 4 × 4 are the smallest that every family writes in fewer numbers than they have entries.
    """
    yield configuration.model_copy(update={"block_size": "whole"})
    for size in reversed(divisors(math.gcd(*(side for shape in shapes for side in shape)))):
        if size >= 4:
            yield configuration.model_copy(update={"block_size": size})


def _shape(configuration: SurmConfiguration, layer: LinearLayer) -> tuple[int, int]:
    return update_shape(configuration.placement, layer.out_features, layer.in_features)


def _shapes(configuration: SurmConfiguration, inventory: Inventory) -> Counter[tuple[int, int]]:
    return Counter(_shape(configuration, layer) for layer in surm_layers(configuration, inventory))
