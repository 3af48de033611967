"""ETHER (arXiv 2405.20271)."""

from __future__ import annotations

from spaces.methods.ether import EtherConfiguration
from trainables.methods._reflections import EtherConfig
from trainables.tuners.low_rank import LowRankAdapter


class Ether(LowRankAdapter[EtherConfiguration]):
    """Reflections I − 2 û ûᵀ; a LoRA has a rank for each unit vector."""

    name = "ether"
    config = EtherConfig


ADAPTERS = (Ether(),)
