"""MiSS (arXiv 2409.15371), by PEFT's own tuner."""

from __future__ import annotations

from typing import Any

from peft import MissConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.miss import MissConfiguration
from trainables.tuners.peft_method import LayerAdapter


class Miss(LayerAdapter[MissConfiguration]):
    """One matrix that all shards of a weight use; PEFT's `init_weights` starts it at 0."""

    name = "miss"
    config = MissConfig

    def settings(self, configuration: MissConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """Pass the number of features of a shard, which PEFT calls r."""
        return {"r": configuration.rank, "miss_dropout": configuration.dropout, "init_weights": True}


ADAPTERS = (Miss(),)
