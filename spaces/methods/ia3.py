"""(IA)³ (arXiv 2205.05638): a factor for each feature, from PEFT."""

from __future__ import annotations

from pydantic import Field

from spaces.methods.base.layer_method import LayerMethod
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer, TargetChoice


class Ia3Configuration(PlacedConfiguration):
    """s ⊙ (W x + b), with s = 1 at the start; W (s ⊙ x) + b in the second layer of an MLP, as in the paper.

    The paper scales keys, values and the inner activations of the MLP.
    """

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the factors.")
    targets: TargetChoice = Field(
        default="all",
        description="Kinds of linear layers to adapt; or {names: [NAME, …]} or {regex: PATTERN}, "
        "as PEFT's target_modules.",
    )


def scales_input(layer: LinearLayer) -> bool:
    """Return whether the factors scale the layer's input."""
    return layer.kind == "down"


class Ia3(LayerMethod[Ia3Configuration]):
    """Trains m parameters for a weight of m × n, n in an MLP's second layer. Its size is set by its place.

    The learning-rate prior is by analogy with LoRA's.
    """

    name = "ia3"
    summary = "a factor for each output of a layer"
    source = "arXiv 2205.05638; PEFT"
    configuration = Ia3Configuration

    def parameters(self, configuration: Ia3Configuration, layer: LinearLayer) -> int:
        return layer.in_features if scales_input(layer) else layer.out_features


METHODS = (Ia3(),)
