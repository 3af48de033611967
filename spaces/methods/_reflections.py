"""Reflections in diagonal blocks on the sides of a weight, shared by ETHER and ETHER+."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Literal, TypeVar

from pydantic import Field

from spaces.methods.base.layer_method import fit_place
from spaces.methods.base.method import Method, PlacedConfiguration, Unfit, layerwise, placed_layers
from spaces.model.budget import Count
from spaces.model.inventory import Inventory

Side = Literal["input", "output"]


class ReflectionConfiguration(PlacedConfiguration):
    """Reflections on the diagonal, on the input side of a weight, its output side, or both."""

    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate of the vectors.")
    blocks: int = Field(default=1, ge=1, description="Reflections on the diagonal; divides the sides they act on.")
    side: Literal["both", "input", "output"]

    @property
    def sides(self) -> frozenset[Side]:
        """The sides that are transformed."""
        return frozenset({"input", "output"}) if self.side == "both" else frozenset({self.side})


C = TypeVar("C", bound=ReflectionConfiguration)


class Reflections(Method[C]):
    """Trains `vectors` vectors as long as the weight's input, output or both. Its size is set by its place and sides.

    The learning rate is that of the published recipe; the method's point is to be robust to it.
    """

    source = "arXiv 2405.20271"
    vectors: ClassVar[int]

    def count(self, configuration: C, inventory: Inventory) -> Count:
        trainable = {}
        for one in placed_layers(configuration, inventory):
            widths = _widths(configuration.sides, one.in_features, one.out_features)
            if any(width % configuration.blocks for width in widths):
                raise Unfit(
                    f"blocks = {configuration.blocks}: does not divide the {configuration.side} features of "
                    f"{one.name} of {one.out_features} × {one.in_features}",
                    smallest=0,
                )
            trainable[one] = self.vectors * sum(widths)
        return layerwise(inventory, trainable, adapter_bytes=4 * sum(trainable.values()))

    def fit(self, configuration: C, inventory: Inventory, allowance: int) -> C:
        return fit_place(self, configuration, inventory, allowance)


def _widths(sides: Collection[Side], in_features: int, out_features: int) -> list[int]:
    widths: dict[Side, int] = {"input": in_features, "output": out_features}
    return [widths[side] for side in sides]
