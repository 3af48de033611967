"""MiSS (arXiv 2409.15371), PEFT's own."""

from __future__ import annotations

from typing import Any

from peft import MissConfig

from spaces.methods.base.layer_method import Layers
from spaces.methods.miss import MissConfiguration
from trainables.tuners.peft_method import LayerAdapter


class Miss(LayerAdapter[MissConfiguration]):
    """One matrix shared by all shards; `init_weights` asks PEFT for zeros."""

    name = "miss"
    config = MissConfig

    def settings(self, configuration: MissConfiguration, layers: Layers, seed: int) -> dict[str, Any]:
        """PEFT calls the features of a shard r."""
        return {"r": configuration.rank, "miss_dropout": configuration.dropout, "init_weights": True}


ADAPTERS = (Miss(),)
