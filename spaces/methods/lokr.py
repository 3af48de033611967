"""LoKr (arXiv 2309.14859): a Kronecker product with a low-rank factor, from PEFT."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, PositiveInt

from spaces.methods.base.knobs import Choice
from spaces.methods.base.layer_method import LayerMethod, Layers
from spaces.methods.base.method import PlacedConfiguration
from spaces.model.inventory import LinearLayer


class LokrConfiguration(PlacedConfiguration):
    """W + scaling · C ⊗ D, with C = 0 at the start and D = D₁ D₂ of `rank`, or whole.

    The sides of C are `factor` where it divides the weight's, else their greatest divisors up to it; "square": up to
    the square root. D is whole when `rank` is at least half its longer side.
    """

    learning_rate: float = Field(default=1e-2, gt=0, description="Peak learning rate of the factors.")
    rank: int = Field(default=8, ge=1, description="Rank of D.")
    factor: PositiveInt | Literal["square"] = Field(default="square", description="Largest side of C.")
    scaling: float = Field(default=1.0, gt=0, description="α / rank.")


def split(side: int, factor: int | Literal["square"]) -> tuple[int, int]:
    """Return two factors of `side`: `factor` if it divides, else the greatest divisor up to it and the square root."""
    if factor != "square" and side % factor == 0:
        return factor, side // factor
    limit = math.isqrt(side) if factor == "square" else min(factor, math.isqrt(side))
    small = max(one for one in range(1, limit + 1) if side % one == 0)
    return small, side // small


class Lokr(LayerMethod[LokrConfiguration]):
    """Trains the entries of C and of D's factors. The learning-rate prior is by analogy with LoRA's."""

    name = "lokr"
    summary = "Kronecker product with a low-rank factor"
    source = "arXiv 2309.14859; PEFT"
    configuration = LokrConfiguration
    size_knob = "rank"
    knobs = {"factor": Choice(("square", 4, 8, 16))}  # noqa: RUF012
    linear_only = True

    def parameters(self, configuration: LokrConfiguration, layer: LinearLayer) -> int:
        first, rows = split(layer.out_features, configuration.factor)
        second, columns = split(layer.in_features, configuration.factor)
        whole = 2 * configuration.rank >= max(rows, columns)
        return first * second + (rows * columns if whole else configuration.rank * (rows + columns))

    def largest_rank(self, configuration: LokrConfiguration, layers: Layers) -> None:
        """Return None: a large rank makes D whole."""

    def sizes(self, configuration: LokrConfiguration, layers: Layers) -> list[int]:
        """Return the ranks up to that at which every D is whole; the smaller of two with the same count."""
        sides = (
            split(one, configuration.factor)[1] for layer in layers for one in (layer.out_features, layer.in_features)
        )
        return self.increasing(configuration, range(1, -(-max(sides) // 2) + 1), layers)


METHODS = (Lokr(),)
