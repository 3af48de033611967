"""Hadamard adapter: a gain and a shift of every feature that attention puts out (arXiv 2407.11033)."""

from __future__ import annotations

from pydantic import Field

from spaces.methods.base.knobs import Choice
from spaces.methods.base.layer_method import fit_place
from spaces.methods.base.method import Configuration, Method, Unfit, check_layers, layerwise
from spaces.model.budget import Count
from spaces.model.inventory import LAYER_RANGES, Inventory, LayerChoice, LinearLayer, select


class HadamardConfiguration(Configuration):
    """w ⊙ a + b for the output a of every attention output projection, w = 1 and b = 0 at the start.

    A projection without a bias, as in Llama, gets no b: there would be nothing to merge it into. The paper also trains
    the normalisation that follows.
    """

    learning_rate: float = Field(default=5e-3, gt=0, description="Peak learning rate of w and b.")
    layers: LayerChoice = Field(
        default="all",
        description="Blocks to adapt: all, last-half, last, the last N; or one: a single projection.",
    )


def projections(configuration: HadamardConfiguration, inventory: Inventory) -> tuple[LinearLayer, ...]:
    """Return the attention output projections that are adapted.

    Raises:
        Unfit: when there is none.
    """
    check_layers(configuration.layers, inventory)
    only = configuration.layers == "one"
    layers = select(inventory, "attention", "all" if only else configuration.layers)
    outputs = tuple(one for one in layers if one.kind == "output")
    if not outputs:
        raise Unfit(f"layers = {configuration.layers}: no attention output projection there", smallest=0)
    return outputs[-1:] if only else outputs


def shifted(layer: LinearLayer, inventory: Inventory) -> bool:
    """Return whether the projection has a bias, and so a b."""
    return any(one.name == f"{layer.name}.bias" for one in inventory.parameters)


class Hadamard(Method[HadamardConfiguration]):
    """Trains 2d parameters for a projection to d features, d without a bias. Its size is set by its place.

    The paper states no learning rate; this one is by analogy with (IA)³, which also starts as a gain of 1.
    """

    name = "hadamard"
    summary = "gain and shift of attention outputs"
    source = "arXiv 2407.11033"
    configuration = HadamardConfiguration
    knobs = {"layers": Choice(LAYER_RANGES)}  # noqa: RUF012

    def count(self, configuration: HadamardConfiguration, inventory: Inventory) -> Count:
        trainable = {
            one: one.out_features * (2 if shifted(one, inventory) else 1)
            for one in projections(configuration, inventory)
        }
        return layerwise(inventory, trainable, adapter_bytes=4 * sum(trainable.values()))

    def fit(self, configuration: HadamardConfiguration, inventory: Inventory, allowance: int) -> HadamardConfiguration:
        return fit_place(self, configuration, inventory, allowance)


METHODS = (Hadamard(),)
