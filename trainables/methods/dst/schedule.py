"""The silos of Dynamic Subset Tuning, in which entries compete, and the schedule of its reselections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from spaces.methods.dst import Decay
from spaces.methods.sparta import entries_at
from trainables.methods.dst.layer import SubsetLayer


@dataclass(frozen=True)
class Silo:
    """Weights, by name, whose entries compete for ⌊`density` · entries⌋ places."""

    layers: Mapping[str, SubsetLayer]
    density: float

    @property
    def size(self) -> int:
        """The number of entries of the weights."""
        return sum(layer.base_layer.weight.numel() for layer in self.layers.values())

    @property
    def places(self) -> int:
        """The number of entries that may differ in the end."""
        return entries_at(self.density, self.size)


@dataclass(frozen=True)
class Schedule:
    """The steps that reselect, up to `last`, and the size of the subset until then.

    Step 1 reselects, and then every `interval`-th step. With a `decay` the subset shrinks from all entries before step
    1 to its final size after step `last`, which reselects once more.
    """

    interval: int = 1
    last: int = 1
    decay: Decay = "none"

    def surplus(self, step: int) -> float:
        """Return the part of the entries outside the final subset that may still differ after `step`."""
        done = min(1.0, step / self.last)
        return {"none": 0.0, "linear": 1.0 - done, "cosine": (1.0 + math.cos(math.pi * done)) / 2}[self.decay]

    def kept(self, silo: Silo, step: int) -> int:
        """Return the number of entries of `silo` that may differ after `step`."""
        return silo.places + int(self.surplus(step) * (silo.size - silo.places))

    def following(self, step: int) -> int:
        """Return the next step that reselects after `step` did."""
        following = step + self.interval
        return self.last if self.decay != "none" and step < self.last < following else following
