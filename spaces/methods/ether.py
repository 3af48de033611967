"""ETHER and ETHER+: weights turned by Householder reflections in blocks (arXiv 2405.20271)."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Generic, Literal, TypeVar

from pydantic import Field

from spaces.methods.base.knobs import Choice
from spaces.methods.base.layer_method import fit_place
from spaces.methods.base.method import Method, PlacedConfiguration, Unfit, layerwise, placed_layers
from spaces.model.budget import Count
from spaces.model.inventory import Inventory

Side = Literal["input", "output"]


class _ReflectionConfiguration(PlacedConfiguration):
    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate of the vectors.")
    blocks: int = Field(default=1, ge=1, description="Reflections on the diagonal; divides the sides they act on.")


class EtherConfiguration(_ReflectionConfiguration):
    """W H or H W, with H block-diagonal of I − 2 û ûᵀ. H is never near I: training starts away from the base.

    The published code reflects the input by default.
    """

    side: Side = Field(default="input", description="Features to reflect: input (W H) or output (H W).")

    @property
    def sides(self) -> frozenset[Side]:
        """The sides that are reflected."""
        return frozenset({self.side})


class EtherPlusConfiguration(_ReflectionConfiguration):
    """W H, H W or H W H′, with H and H′ block-diagonal of I − û ûᵀ + v̂ v̂ᵀ; v = −u at the start, where H = I."""

    side: Literal["both", "input", "output"] = Field(
        default="both", description="Features to transform: both, input or output."
    )

    @property
    def sides(self) -> frozenset[Side]:
        """The sides that are transformed."""
        return frozenset({"input", "output"}) if self.side == "both" else frozenset({self.side})


C = TypeVar("C", EtherConfiguration, EtherPlusConfiguration)


class _Reflections(Method[C], Generic[C]):
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


class Ether(_Reflections[EtherConfiguration]):
    """Trains n parameters for a weight of m × n, or m on the output side."""

    name = "ether"
    summary = "Householder reflections in blocks"
    configuration = EtherConfiguration
    vectors = 1
    knobs = {"side": Choice(("input", "output")), "blocks": Choice((1, 4, 16))}  # noqa: RUF012


class EtherPlus(_Reflections[EtherPlusConfiguration]):
    """Trains 2 (m + n) parameters for a weight of m × n, or 2n or 2m on one side."""

    name = "ether-plus"
    summary = "relaxed Householder reflections in blocks"
    configuration = EtherPlusConfiguration
    vectors = 2
    knobs = {"side": Choice(("both", "input", "output")), "blocks": Choice((1, 4, 16))}  # noqa: RUF012


METHODS = (Ether(), EtherPlus())
