"""Which entries of Dynamic Subset Tuning compete, how many of them may differ, and when they are chosen."""

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
        """Entries of the weights."""
        return sum(layer.base_layer.weight.numel() for layer in self.layers.values())

    @property
    def places(self) -> int:
        """Entries that may differ in the end."""
        return entries_at(self.density, self.size)


@dataclass(frozen=True)
class Schedule:
    """When the subset is chosen anew, up to step `last`, and how large it is until then.

    It is chosen at step 1 and then every `interval` steps. With a `decay` the subset falls from all entries before
    step 1 to its own size after step `last`, at which it is chosen once more.
    """

    interval: int = 1
    last: int = 1
    decay: Decay = "none"

    def surplus(self, step: int) -> float:
        """Part of the entries outside the final subset that still may differ after `step`."""
        done = min(1.0, step / self.last)
        return {"none": 0.0, "linear": 1.0 - done, "cosine": (1.0 + math.cos(math.pi * done)) / 2}[self.decay]

    def kept(self, silo: Silo, step: int) -> int:
        """Entries of `silo` that may differ after `step`."""
        return silo.places + int(self.surplus(step) * (silo.size - silo.places))

    def following(self, step: int) -> int:
        """The step that reselects after `step` did."""
        following = step + self.interval
        return self.last if self.decay != "none" and step < self.last < following else following
